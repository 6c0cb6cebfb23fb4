// What is photographed: the list of scenes, each number of which follows from the seed.
import { seededRandom } from "../../dist/palm/synthetic/random.js";

const SIZE = { width: 640, height: 480 };
const FINGERS = ["index-finger", "middle-finger", "ring-finger", "pinky-finger"];
/** Shells of one side and look that a finder must cope with. */
const GOOD_OF_EACH = 6;
/** Natural bounds of an open hand before a reader. */
const TILT_DEGREES = 22;
const TURN_DEGREES = 30;
const DISTANCE = { from: 0.235, to: 0.33 };

/** Linear colours of skin in visible light, light to dark. */
const TONES = [
  [0.66, 0.4, 0.29],
  [0.55, 0.31, 0.21],
  [0.42, 0.22, 0.14],
  [0.27, 0.135, 0.08],
];

const round = (value) => Math.round(value * 1e4) / 1e4;

/** @returns [{name, kind, side, look, spec}] */
export function scenesOf(seed) {
  const scenes = [];
  for (const look of ["VISIBLE", "NIR"]) {
    for (const side of ["LEFT", "RIGHT"]) {
      for (let i = 1; i <= GOOD_OF_EACH; i++) {
        scenes.push(
          good(`${side}-${look}-${i}`.toLowerCase(), side, look, seededRandom(seed, scenes.length), i),
        );
      }
    }
  }
  return [...scenes, ...bad(seed)];
}

function good(name, side, look, random, nth) {
  // The first of each kind is an easy one: flat and upright.
  const ease = nth === 1 ? 0.2 : 1;
  const hand = handOf(side, look, random, ease);
  return { name, kind: "PALM", side, look, spec: specOf(look, random, [hand]) };
}

function handOf(side, look, random, ease = 1) {
  const swing = (limit) => round(ease * random.between(-limit, limit));
  const rollDegrees = swing(TURN_DEGREES);
  const curl = Object.fromEntries(
    FINGERS.map((finger) => [
      finger,
      [round(random.between(-0.04, 0.14)), round(random.between(0, 0.18)), round(random.between(0, 0.12))],
    ]),
  );
  return {
    side,
    pose: {
      curl,
      spread: round(random.between(0.04, 0.2)),
      thumb: [
        round(random.between(-0.1, 0.15)),
        round(random.between(-0.1, 0.15)),
        round(random.between(-0.1, 0.2)),
      ],
    },
    skin: skinOf(look, random),
    sleeve: [random.between(0.02, 0.3), random.between(0.02, 0.3), random.between(0.02, 0.3)].map(round),
    pitchDegrees: swing(TILT_DEGREES),
    yawDegrees: swing(TILT_DEGREES),
    rollDegrees,
    x: swing(0.035),
    y: round(-0.012 + ease * random.between(-0.01, 0.01)),
    distance: round(random.between(DISTANCE.from, DISTANCE.to)),
  };
}

function skinOf(look, random) {
  const tone = TONES[Math.floor(random.next() * TONES.length)] ?? TONES[0];
  // Near infrared: every skin is bright, and there is no colour.
  const colour = look === "NIR" ? Array(3).fill(round(random.between(0.38, 0.5))) : tone.map(round);
  return {
    colour,
    flush: look === "NIR" ? [1, 1, 1] : [1.05, 0.85, 0.86],
    mottle: round(look === "NIR" ? random.between(0.15, 0.3) : random.between(0.25, 0.42)),
    roughness: round(random.between(0.5, 0.75)),
    seed: round(random.next()),
  };
}

function specOf(look, random, hands) {
  const around = random.between(-1, 1);
  const light =
    look === "NIR"
      ? {
          direction: [around * 0.5, 0.3, 1],
          strength: 0.3,
          ambient: 0.08,
          warmth: 0,
          nearCamera: round(random.between(0.12, 0.17)),
        }
      : {
          direction: [round(around), round(random.between(0.3, 1)), round(random.between(0.5, 1))],
          strength: round(random.between(1.4, 2.6)),
          ambient: round(random.between(0.7, 1.2)),
          warmth: round(random.next()),
          nearCamera: 0,
        };
  const background = { kind: look === "NIR" ? "DARK" : "ROOM", seed: Math.floor(random.next() * 2 ** 31) };
  return { ...SIZE, background, light, hands };
}

const FIST = Object.fromEntries(FINGERS.map((finger) => [finger, [1.35, 1.7, 1.1]]));

/** What must end in a reason, never in a palm. */
function bad(seed) {
  const of = (at, name, kind, side, look, change) => {
    const random = seededRandom(seed, 1000 + at);
    const hand = handOf(side, look, random, 0.2);
    return { name, kind, side, look, spec: specOf(look, random, change(hand, random)) };
  };
  return [
    of(0, "back-left", "BACK", "LEFT", "VISIBLE", (hand) => [{ ...hand, yawDegrees: 180 }]),
    of(1, "back-right-nir", "BACK", "RIGHT", "NIR", (hand) => [{ ...hand, yawDegrees: 176 }]),
    of(2, "fist", "FIST", "RIGHT", "VISIBLE", (hand) => [
      { ...hand, pose: { curl: FIST, spread: 0, thumb: [0.5, 0.5, 0.7] } },
    ]),
    of(3, "two-hands", "TWO_HANDS", "LEFT", "VISIBLE", (hand, random) => [
      { ...hand, x: 0.115, distance: 0.4 },
      {
        ...handOf("RIGHT", "VISIBLE", random, 0.2),
        skin: hand.skin,
        sleeve: hand.sleeve,
        x: -0.115,
        distance: 0.41,
      },
    ]),
    of(4, "outside", "OUTSIDE", "RIGHT", "VISIBLE", (hand) => [{ ...hand, x: 0.185, distance: 0.28 }]),
    of(5, "near", "NEAR", "LEFT", "VISIBLE", (hand) => [{ ...hand, x: 0, y: 0, distance: 0.14 }]),
    of(6, "far", "FAR", "RIGHT", "VISIBLE", (hand) => [{ ...hand, distance: 0.85 }]),
    of(7, "empty", "EMPTY", "LEFT", "VISIBLE", () => []),
    of(8, "empty-nir", "EMPTY", "LEFT", "NIR", () => []),
  ];
}
