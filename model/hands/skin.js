// What the studio's hands are made of: skin with its folds and nails, a sleeve, and a forearm to hang the hand on.
//
// The pattern is laid over the mesh at rest, so that it moves with the skin; palm lines are left out on purpose: they
// are the identity's, and are printed on later.
import * as THREE from "three";
import { FINGERS } from "./hand.js";

const MAX_FOLDS = 16;
const MAX_NAILS = 5;

const DECLARATIONS = /* glsl */ `
  varying vec3 vRest;
  uniform vec4 folds[${MAX_FOLDS}]; // place at rest; half width of the finger
  uniform vec3 foldAxes[${MAX_FOLDS}];
  uniform vec3 nails[${MAX_NAILS}];
  uniform vec3 nailAxes[${MAX_NAILS}];
  uniform vec3 palmNormal;
  uniform float mottle;
  uniform float seed;
  uniform vec3 flush;
  float hash(vec3 p) { p = fract(p * 0.3183099 + seed); p *= 17.0; return fract(p.x * p.y * p.z * (p.x + p.y + p.z)); }
  float noise(vec3 x) {
    vec3 i = floor(x); vec3 f = fract(x); f = f * f * (3.0 - 2.0 * f);
    return mix(mix(mix(hash(i), hash(i + vec3(1,0,0)), f.x), mix(hash(i + vec3(0,1,0)), hash(i + vec3(1,1,0)), f.x), f.y),
               mix(mix(hash(i + vec3(0,0,1)), hash(i + vec3(1,0,1)), f.x), mix(hash(i + vec3(0,1,1)), hash(i + vec3(1,1,1)), f.x), f.y), f.z);
  }
`;

const ALBEDO = /* glsl */ `
  {
    float patches = noise(vRest * 90.0) * 0.6 + noise(vRest * 260.0) * 0.4 - 0.5;
    float grain = noise(vRest * 1500.0) - 0.5;
    diffuseColor.rgb *= 1.0 + mottle * (0.35 * patches + 0.18 * grain);
    diffuseColor.rgb = mix(diffuseColor.rgb, diffuseColor.rgb * flush, clamp(0.45 + 1.1 * patches, 0.0, 1.0) * mottle * 2.0);
    float dark = 0.0;
    for (int i = 0; i < ${MAX_FOLDS}; i++) {
      vec3 d = vRest - folds[i].xyz;
      float along = dot(d, foldAxes[i]);
      float aside = length(d - along * foldAxes[i]);
      if (aside > folds[i].w) continue;
      float wobble = 0.0012 * (noise(vRest * 330.0 + float(i) * 7.0) - 0.5);
      float line = exp(-pow((along + wobble) / 0.0006, 2.0)) + 0.6 * exp(-pow((along + wobble * 2.0 - 0.0022) / 0.0005, 2.0));
      dark = max(dark, line);
    }
    diffuseColor.rgb *= 1.0 - 0.32 * min(dark, 1.0) * vec3(0.85, 1.0, 1.0);
    for (int i = 0; i < ${MAX_NAILS}; i++) {
      vec3 d = vRest - nails[i];
      if (dot(d, palmNormal) > -0.002) continue;
      float along = dot(d, nailAxes[i]);
      vec3 across = d - along * nailAxes[i] - dot(d, palmNormal) * palmNormal;
      float inside = pow(along / 0.0072, 4.0) + pow(length(across) / 0.0052, 4.0);
      diffuseColor.rgb = mix(diffuseColor.rgb, diffuseColor.rgb * vec3(1.12, 0.98, 0.98) + 0.04, 1.0 - smoothstep(0.75, 1.0, inside));
      diffuseColor.rgb *= 1.0 - 0.35 * exp(-pow((inside - 1.0) / 0.3, 2.0));
    }
  }
`;

/** @param skin {colour: [r, g, b] linear, flush: [r, g, b], mottle, roughness, seed} */
export function skinMaterial(hand, skin) {
  const material = new THREE.MeshPhysicalMaterial({
    color: new THREE.Color(...skin.colour),
    roughness: skin.roughness,
    specularIntensity: 0.5,
  });
  const uniforms = {
    ...foldsOf(hand),
    palmNormal: { value: new THREE.Vector3(hand.side === "LEFT" ? 1 : -1, 0, 0) },
    mottle: { value: skin.mottle },
    seed: { value: skin.seed },
    flush: { value: new THREE.Vector3(...skin.flush) },
  };
  material.onBeforeCompile = (shader) => {
    Object.assign(shader.uniforms, uniforms);
    shader.vertexShader = shader.vertexShader
      .replace("#include <common>", "#include <common>\nattribute vec3 rest;\nvarying vec3 vRest;")
      .replace("#include <begin_vertex>", "#include <begin_vertex>\nvRest = rest;");
    shader.fragmentShader = shader.fragmentShader
      .replace("#include <common>", `#include <common>\n${DECLARATIONS}`)
      .replace("#include <color_fragment>", `#include <color_fragment>\n${ALBEDO}`);
  };
  return material;
}

/** Folds across the fingers at their joints and roots and across the wrist; nails near the tips. */
function foldsOf({ joints }) {
  const folds = [];
  const nails = [];
  const fold = (from, to, share, halfWidth) =>
    folds.push({
      place: joints.get(from).clone().lerp(joints.get(to), share),
      axis: joints.get(to).clone().sub(joints.get(from)).normalize(),
      halfWidth,
    });
  for (const finger of FINGERS) {
    const [root, middle, end] = ["proximal", "intermediate", "distal"].map(
      (part) => `${finger}-phalanx-${part}`,
    );
    fold(root, middle, finger === "pinky-finger" ? 0.62 : 0.5, 0.012);
    fold(middle, end, 0, 0.012);
    fold(end, `${finger}-tip`, 0, 0.011);
  }
  fold("thumb-phalanx-proximal", "thumb-phalanx-distal", 0.1, 0.014);
  fold("thumb-phalanx-distal", "thumb-tip", 0, 0.013);
  fold("wrist", "middle-finger-metacarpal", 0.22, 0.04);
  fold("wrist", "middle-finger-metacarpal", 0.5, 0.04);
  for (const finger of ["thumb", ...FINGERS]) {
    const tip = joints.get(`${finger}-tip`);
    const axis = tip
      .clone()
      .sub(joints.get(`${finger}-phalanx-distal`))
      .normalize();
    nails.push({ place: tip.clone().addScaledVector(axis, 0.002), axis });
  }
  return {
    folds: { value: folds.map(({ place, halfWidth }) => new THREE.Vector4(...place.toArray(), halfWidth)) },
    foldAxes: { value: folds.map(({ axis }) => axis) },
    nails: { value: nails.map(({ place }) => place) },
    nailAxes: { value: nails.map(({ axis }) => axis) },
  };
}

/** Metres along the arm, from the wrist's end of the mesh. */
const ARM = { from: 0.072, to: 0.4, sleeveFrom: 0.066 };

/** Forearm and sleeve, fixed to the wrist. */
export function arm(hand, skin, sleeveColour) {
  const wrist = endOfWrist(hand.rest);
  const tube = (from, to, room) => {
    const geometry = new THREE.CylinderGeometry(1, 1, to - from, 48, 12, true);
    const position = geometry.getAttribute("position");
    for (let i = 0; i < position.count; i++) {
      const y = position.getY(i) + (from + to) / 2;
      const swell = 1 + 2.2 * Math.max(0, y - ARM.from);
      const [x, z] = [
        position.getX(i) * (wrist.radiusX * swell + room),
        position.getZ(i) * (wrist.radiusZ * swell + room),
      ];
      position.setXYZ(i, wrist.x + x, y, wrist.z + z);
    }
    geometry.setAttribute("rest", position.clone());
    geometry.computeVertexNormals();
    return geometry;
  };
  const cloth = new THREE.MeshStandardMaterial({
    color: new THREE.Color(...sleeveColour),
    roughness: 1,
    side: THREE.DoubleSide,
  });
  return [
    new THREE.Mesh(tube(ARM.from, ARM.to, -0.0005), skin),
    new THREE.Mesh(tube(ARM.sleeveFrom, ARM.to, 0.005), cloth),
  ];
}

function endOfWrist(geometry) {
  const rest = geometry.getAttribute("rest");
  const box = new THREE.Box3();
  for (let i = 0; i < rest.count; i++) {
    if (rest.getY(i) > 0.07) box.expandByPoint(new THREE.Vector3().fromBufferAttribute(rest, i));
  }
  const [middle, size] = [box.getCenter(new THREE.Vector3()), box.getSize(new THREE.Vector3())];
  return { x: middle.x, z: middle.z, radiusX: size.x / 2, radiusZ: size.z / 2 };
}
