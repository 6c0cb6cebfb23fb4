// Facts that a signature model carries in its own file, read without running it.
//
// An ONNX file is a protobuf ModelProto; onnxruntime-node does not show its metadata, so the two fields needed are read
// here (onnx.proto: ModelProto.metadata_props = 14, StringStringEntryProto.key = 1, .value = 2).
import { readFile } from "node:fs/promises";
import protobuf from "protobufjs/minimal.js";
import { FRAME_BITS, SIGN_BITS, SPECTRUM_LOOKS } from "./codes/layout.js";
import { FIELD_SIDE } from "./lines/line-map.js";

export interface ModelInfo {
  /** Recorded with every template; signatures of different models are never compared. */
  modelId: string;
  /** Numbers of a signature's vector. */
  dimension: number;
  /** Side of the square grey input, pixels. */
  inputSize: number;
  /** Its signatures have line maps (lines/) and codes (codes/). */
  lineMaps: boolean;
}

const METADATA_PROPS_FIELD = 14;

/**
 * Reads model id, dimension, input size and whether there are line maps.
 * @throws Error saying what is missing when the file is no signature model
 */
export async function modelInfo(path: string): Promise<ModelInfo> {
  const metadata = readMetadata(await readFile(path), path);
  const modelId = metadata.get("model_id");
  const dimension = Number(metadata.get("dimension"));
  const inputSize = Number(metadata.get("input_size"));
  if (
    !modelId ||
    !Number.isInteger(dimension) ||
    dimension < 1 ||
    !Number.isInteger(inputSize) ||
    inputSize < 1
  ) {
    throw new Error(
      `${path}: metadata model_id, dimension and input_size are needed. Make the file with a script of model/.`,
    );
  }
  const lineMaps = metadata.has("line_field_side");
  if (lineMaps) checkLines(metadata, path);
  return { modelId, dimension, inputSize, lineMaps };
}

/** What line maps and codes are made of has to be of the size that this version reads. */
const LINE_FACTS = {
  line_field_side: FIELD_SIDE,
  spectrum_bits: FRAME_BITS,
  spectrum_looks: SPECTRUM_LOOKS,
  dimension: SIGN_BITS,
};

function checkLines(metadata: Map<string, string>, path: string): void {
  for (const [key, wanted] of Object.entries(LINE_FACTS)) {
    const found = metadata.get(key);
    if (Number(found) === wanted) continue;
    throw new Error(
      `${path}: its ${key} is ${found ?? "not there"}, this version reads ${wanted}. Make the file anew.`,
    );
  }
}

function readMetadata(bytes: Uint8Array, path: string): Map<string, string> {
  const entries = new Map<string, string>();
  try {
    const reader = protobuf.Reader.create(bytes);
    while (reader.pos < reader.len) {
      const tag = reader.uint32();
      if (tag >>> 3 !== METADATA_PROPS_FIELD) {
        reader.skipType(tag & 7);
        continue;
      }
      const [key, value] = readEntry(protobuf.Reader.create(reader.bytes()));
      entries.set(key, value);
    }
  } catch (error) {
    throw new Error(`${path} is not an ONNX file: ${(error as Error).message}`);
  }
  return entries;
}

function readEntry(reader: protobuf.Reader): [key: string, value: string] {
  const entry: [string, string] = ["", ""];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const field = tag >>> 3;
    if (field === 1 || field === 2) entry[field - 1] = reader.string();
    else reader.skipType(tag & 7);
  }
  return entry;
}
