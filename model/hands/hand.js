// One hand of the studio: loads the rigged mesh, bends its joints, and bakes the pose into plain triangles.
//
// The mesh at rest has fingers along -y, the thumb along -z, and the palm facing +x (left) or -x (right); metres.
// A joint's own axes are WebXR's: -z towards the tip, -y out of the palm. The palm's skin square is fixed to the
// mesh at rest, so each of its points is the same spot of skin in every pose.
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";

export const FINGERS = ["index-finger", "middle-finger", "ring-finger", "pinky-finger"];
const CHAIN = ["metacarpal", "phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip"];
const THUMB_CHAIN = ["metacarpal", "phalanx-proximal", "phalanx-distal", "tip"];
/** Where neighbouring fingers part on the left mesh at rest, y and z in metres (read off a drawing of it). */
const VALLEYS = { indexMiddle: [-0.0553, -0.0027], ringPinky: [-0.0393, 0.0392] };
/**
 * The skin square: side, how far its middle lies below the middle of the valleys and towards the thumb (distances of the
 * valleys), and how far its top leans to the thumb's side from the line wrist to middle fingers. So it is, on average,
 * the region of interest that palm/hand/roi.ts cuts out of these hands.
 */
const SQUARE = { side: 1.37, below: 0.93, towardsThumb: 0.148, leanDegrees: 11.5 };
/** The grid reaches past the square by that share of its side; both ends of the square are nodes of the grid. */
export const GRID = { nodes: 33, margin: 0.3 };
/** Skin counts as palm while it faces the palm's normal by that cosine (none to full). */
const FACING_PALM = [0.3, 0.65];
/** ... and while it faces the camera. */
const FACING_CAMERA = [0.15, 0.4];

/** Loads one side, with the joints as a tree: in the file they all hang on one node. */
export async function loadHand(side) {
  const { scene } = await new GLTFLoader().loadAsync(`/assets/${side.toLowerCase()}.glb`);
  scene.updateMatrixWorld(true);
  const bones = new Map();
  let mesh;
  scene.traverse((node) => {
    if (node.isSkinnedMesh) mesh = node;
    if (node.isBone) bones.set(node.name, node);
  });
  for (const finger of ["thumb", ...FINGERS]) {
    let parent = bones.get("wrist");
    for (const part of finger === "thumb" ? THUMB_CHAIN : CHAIN) {
      const bone = bones.get(`${finger}-${part}`);
      parent.attach(bone);
      parent = bone;
    }
  }
  scene.updateMatrixWorld(true);
  const atRest = new Map([...bones].map(([name, bone]) => [name, bone.quaternion.clone()]));
  const hand = { side, root: scene, mesh, bones, atRest, topology: topologyOf(mesh.geometry) };
  hand.joints = new Map([...bones].map(([name, bone]) => [name, bone.getWorldPosition(new THREE.Vector3())]));
  hand.rest = bake(hand);
  hand.square = skinSquare(hand);
  return hand;
}

/** One vertex where the file has several for the sake of its texture; triangles over these. */
function topologyOf(geometry) {
  const position = geometry.getAttribute("position");
  const merged = new Map();
  const first = [];
  const of = Array.from({ length: position.count }, (_, i) => {
    const key = [position.getX(i), position.getY(i), position.getZ(i)].map((v) => Math.round(v * 1e6)).join();
    if (!merged.has(key)) {
      merged.set(key, first.length);
      first.push(i);
    }
    return merged.get(key);
  });
  return { first, triangles: Array.from(geometry.index.array, (i) => of[i]) };
}

/** @param pose {curl: {finger: [proximal, intermediate, distal]}, spread, thumb: [spread, curl, tip]}, radians */
export function bend(hand, pose) {
  const outward = hand.side === "LEFT" ? 1 : -1;
  for (const [name, bone] of hand.bones) bone.quaternion.copy(hand.atRest.get(name));
  for (const [at, finger] of FINGERS.entries()) {
    const [proximal, intermediate, distal] = pose.curl[finger];
    const share = [-0.9, -0.15, 0.45, 1][at] ?? 0;
    hand.bones
      .get(`${finger}-phalanx-proximal`)
      .rotateY(-outward * share * pose.spread)
      .rotateX(-proximal);
    hand.bones.get(`${finger}-phalanx-intermediate`).rotateX(-intermediate);
    hand.bones.get(`${finger}-phalanx-distal`).rotateX(-distal);
  }
  const [across, curl, tip] = pose.thumb;
  hand.bones.get("thumb-metacarpal").rotateY(-outward * across);
  hand.bones.get("thumb-phalanx-proximal").rotateX(-curl);
  hand.bones.get("thumb-phalanx-distal").rotateX(-tip);
  hand.root.updateMatrixWorld(true);
}

/** The posed mesh as plain geometry, each triangle in four, rounded after its normals; attribute `rest` is where the spot lies at rest. */
export function bake(hand) {
  const { first, triangles } = hand.topology;
  const attribute = hand.mesh.geometry.getAttribute("position");
  const positions = first.map((i) => {
    const point = new THREE.Vector3().fromBufferAttribute(attribute, i);
    return hand.mesh.localToWorld(hand.mesh.applyBoneTransform(i, point));
  });
  const rest = first.map((i) => new THREE.Vector3().fromBufferAttribute(attribute, i));
  return tessellate(positions, rest, triangles);
}

function tessellate(positions, rest, triangles) {
  const normals = vertexNormals(positions, triangles);
  const points = [...positions];
  const restPoints = [...rest];
  const middles = new Map();
  const middle = (a, b) => {
    const key = a < b ? `${a},${b}` : `${b},${a}`;
    if (!middles.has(key)) {
      middles.set(key, points.length);
      points.push(roundedMiddle(positions[a], normals[a], positions[b], normals[b]));
      restPoints.push(rest[a].clone().lerp(rest[b], 0.5));
    }
    return middles.get(key);
  };
  const index = [];
  for (let t = 0; t < triangles.length; t += 3) {
    const [a, b, c] = triangles.slice(t, t + 3);
    const [ab, bc, ca] = [middle(a, b), middle(b, c), middle(c, a)];
    index.push(a, ab, ca, ab, b, bc, ca, bc, c, ab, bc, ca);
  }
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute(
    "position",
    new THREE.Float32BufferAttribute(
      points.flatMap((p) => p.toArray()),
      3,
    ),
  );
  geometry.setAttribute(
    "rest",
    new THREE.Float32BufferAttribute(
      restPoints.flatMap((p) => p.toArray()),
      3,
    ),
  );
  geometry.setIndex(index);
  geometry.computeVertexNormals();
  return geometry;
}

function vertexNormals(positions, triangles) {
  const normals = positions.map(() => new THREE.Vector3());
  for (let t = 0; t < triangles.length; t += 3) {
    const [a, b, c] = triangles.slice(t, t + 3);
    const edge = positions[b].clone().sub(positions[a]);
    const face = edge.cross(positions[c].clone().sub(positions[a]));
    for (const i of [a, b, c]) normals[i].add(face);
  }
  return normals.map((normal) => normal.normalize());
}

/** Middle of an edge, pushed out to the curved surface that both ends' normals ask for (Phong tessellation). */
function roundedMiddle(a, normalA, b, normalB) {
  const flat = a.clone().lerp(b, 0.5);
  const onA = flat.clone().addScaledVector(normalA, -normalA.dot(flat.clone().sub(a)));
  const onB = flat.clone().addScaledVector(normalB, -normalB.dot(flat.clone().sub(b)));
  return flat.lerp(onA.lerp(onB, 0.5), 0.7);
}

/** Every node of the grid as a place on the mesh at rest: its triangle, and where in it; undefined beside the palm. */
function skinSquare(hand) {
  const mirror = hand.side === "LEFT" ? 1 : -1;
  const valley = ([y, z]) => new THREE.Vector3(0, y, z);
  const [a, b] = [valley(VALLEYS.indexMiddle), valley(VALLEYS.ringPinky)];
  const unit = a.distanceTo(b);
  const knuckles = hand.joints.get("middle-finger-phalanx-proximal").clone();
  knuckles.lerp(hand.joints.get("ring-finger-phalanx-proximal"), 0.5);
  const up = knuckles.sub(hand.joints.get("wrist")).setX(0).normalize();
  // To the right in the image: away from the thumb on a left palm, towards it on a right one.
  const right = new THREE.Vector3(0, -up.z, up.y).multiplyScalar(-mirror);
  const centre = a.lerp(b, 0.5).addScaledVector(up, -SQUARE.below * unit);
  centre.addScaledVector(right, -mirror * SQUARE.towardsThumb * unit);
  const lean = THREE.MathUtils.degToRad(SQUARE.leanDegrees) * mirror;
  const [uprightUp, uprightRight] = [up.clone(), right.clone()];
  up.multiplyScalar(Math.cos(lean)).addScaledVector(uprightRight, Math.sin(lean));
  right.multiplyScalar(Math.cos(lean)).addScaledVector(uprightUp, -Math.sin(lean));
  const towards = new THREE.Vector3(-mirror, 0, 0);
  const target = new THREE.Mesh(hand.rest, new THREE.MeshBasicMaterial());
  const ray = new THREE.Raycaster();
  const places = [];
  for (let row = 0; row < GRID.nodes; row++) {
    for (let column = 0; column < GRID.nodes; column++) {
      const [u, v] = [column, row].map(
        (i) => (i / (GRID.nodes - 1)) * (1 + 2 * GRID.margin) - GRID.margin - 0.5,
      );
      const point = centre.clone().addScaledVector(right, u * SQUARE.side * unit);
      point.addScaledVector(up, -v * SQUARE.side * unit).setX(mirror * 0.3);
      ray.set(point, towards);
      const [hit] = ray.intersectObject(target);
      places.push(hit && placeOf(hit, hand.rest, mirror));
    }
  }
  return places;
}

const smoothstep = ([low, high], value) => {
  const share = Math.min(1, Math.max(0, (value - low) / (high - low)));
  return share * share * (3 - 2 * share);
};

function placeOf({ face, point }, geometry, mirror) {
  const corners = [face.a, face.b, face.c];
  const position = geometry.getAttribute("position");
  const normal = geometry.getAttribute("normal");
  const at = corners.map((i) => new THREE.Vector3().fromBufferAttribute(position, i));
  const shares = THREE.Triangle.getBarycoord(point, ...at, new THREE.Vector3()).toArray();
  const facing = corners.reduce((sum, i, k) => sum + shares[k] * normal.getX(i) * mirror, 0);
  return { corners, shares, weight: smoothstep(FACING_PALM, facing) };
}

/** Where the grid's nodes lie in the image, pixels, and how much of the palm shows there, 0..1. */
export function projectSquare(hand, mesh, camera, { width, height }) {
  const blend = (attribute, { corners, shares }) =>
    corners.reduce(
      (sum, i, k) => sum.addScaledVector(new THREE.Vector3().fromBufferAttribute(attribute, i), shares[k]),
      new THREE.Vector3(),
    );
  const eye = camera.getWorldPosition(new THREE.Vector3());
  const ray = new THREE.Raycaster();
  return hand.square.map((place) => {
    if (!place) return undefined;
    const point = mesh.localToWorld(blend(mesh.geometry.getAttribute("position"), place));
    const normal = blend(mesh.geometry.getAttribute("normal"), place).transformDirection(mesh.matrixWorld);
    const sight = eye.clone().sub(point);
    const distance = sight.length();
    const facing = normal.dot(sight.divideScalar(distance));
    ray.set(eye, sight.negate());
    const [hit] = ray.intersectObject(mesh);
    const hidden = hit !== undefined && hit.distance < distance - 0.002;
    const seen = point.project(camera);
    return {
      x: ((seen.x + 1) / 2) * width,
      y: ((1 - seen.y) / 2) * height,
      weight: hidden ? 0 : place.weight * smoothstep(FACING_CAMERA, facing),
    };
  });
}
