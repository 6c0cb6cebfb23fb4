// The studio: runs in the page; renders one scene, and says where the palm's skin square lies in the picture.
//
// Nothing is left to chance here: every number of a scene is fixed by scenes.mjs, so a seed gives the same pictures on
// the same browser. Pictures are rendered at twice their size and halved.
import * as THREE from "three";
import { drawBackground } from "./clutter.js";
import { bake, bend, loadHand, projectSquare } from "./hand.js";
import { arm, skinMaterial } from "./skin.js";

const OVERSAMPLING = 2;
const FIELD_OF_VIEW_DEGREES = 50;

const loaded = new Map();
async function handOf(side) {
  if (!loaded.has(side)) loaded.set(side, await loadHand(side));
  return loaded.get(side);
}

let renderer;
function rendererOf(width, height) {
  if (!renderer) {
    renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
    renderer.shadowMap.enabled = true;
    renderer.shadowMap.type = THREE.PCFShadowMap;
    renderer.toneMapping = THREE.ACESFilmicToneMapping;
  }
  renderer.setSize(width * OVERSAMPLING, height * OVERSAMPLING, false);
  return renderer;
}

/** Mesh axes to those of the picture: fingers up, palm towards the camera. */
function frameOf(side) {
  const mirror = side === "LEFT" ? 1 : -1;
  return new THREE.Matrix4().makeBasis(
    new THREE.Vector3(0, 0, mirror),
    new THREE.Vector3(0, -1, 0),
    new THREE.Vector3(mirror, 0, 0),
  );
}

const radians = THREE.MathUtils.degToRad;

/** One hand in the scene. @returns its mesh, placed */
async function placeHand(scene, spec) {
  const hand = await handOf(spec.side);
  bend(hand, spec.pose);
  const material = skinMaterial(hand, spec.skin);
  const mesh = new THREE.Mesh(bake(hand), material);
  const parts = [mesh, ...arm(hand, material, spec.sleeve)];
  const turned = new THREE.Group();
  turned.rotation.set(radians(spec.pitchDegrees), radians(spec.yawDegrees), radians(spec.rollDegrees), "ZXY");
  turned.position.set(spec.x, spec.y, -spec.distance);
  const upright = new THREE.Group();
  upright.matrixAutoUpdate = false;
  // The mesh turns about the middle of its palm.
  const middle = new THREE.Vector3(0, -0.005, 0.012);
  upright.matrix
    .copy(frameOf(spec.side).clone().transpose())
    .multiply(new THREE.Matrix4().makeTranslation(middle.negate()));
  for (const part of parts) {
    part.castShadow = true;
    part.receiveShadow = true;
    upright.add(part);
  }
  turned.add(upright);
  scene.add(turned);
  return { hand, mesh };
}

function light(scene, { direction, strength, ambient, warmth, nearCamera }) {
  const colour = new THREE.Color(1, 1 - 0.12 * warmth, 1 - 0.3 * warmth);
  const sun = new THREE.DirectionalLight(colour, strength);
  sun.position.set(...direction);
  sun.position.z -= 0.35;
  sun.target.position.set(0, 0, -0.35);
  sun.castShadow = true;
  sun.shadow.mapSize.set(1024, 1024);
  Object.assign(sun.shadow.camera, {
    left: -0.25,
    right: 0.25,
    top: 0.25,
    bottom: -0.25,
    near: 0.01,
    far: 4,
  });
  sun.shadow.bias = -0.002;
  sun.shadow.normalBias = 0.004;
  sun.shadow.radius = 4;
  scene.add(sun, sun.target, new THREE.HemisphereLight(0xffffff, 0x998877, ambient));
  if (nearCamera > 0) {
    // Lamps beside the lens: brightness falls with the square of the distance.
    for (const x of [-0.03, 0.03]) {
      const lamp = new THREE.PointLight(0xffffff, nearCamera, 0, 2);
      lamp.position.set(x, 0.01, 0);
      scene.add(lamp);
    }
  }
}

/** @returns {picture: PNG as a data URL, grid: [{x, y, weight} | undefined] of the first hand} */
async function render(spec) {
  const { width, height } = spec;
  const scene = new THREE.Scene();
  const background = new THREE.CanvasTexture(drawBackground(spec.background, width, height));
  background.colorSpace = THREE.SRGBColorSpace;
  scene.background = background;
  light(scene, spec.light);
  const placed = [];
  for (const hand of spec.hands) placed.push(await placeHand(scene, hand));
  const camera = new THREE.PerspectiveCamera(FIELD_OF_VIEW_DEGREES, width / height, 0.01, 5);
  const three = rendererOf(width, height);
  scene.updateMatrixWorld(true);
  three.render(scene, camera);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(three.domElement, 0, 0, width, height);
  const [first] = placed;
  const grid = first ? projectSquare(first.hand, first.mesh, camera, spec) : [];
  return { picture: canvas.toDataURL("image/png"), grid };
}

window.studio = { render };
