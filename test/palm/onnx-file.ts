// Tiny ONNX files made by hand, so that tests have networks that are wrong in known ways (onnx.proto: field numbers).
import protobuf from "protobufjs/minimal.js";

type Write = (writer: protobuf.Writer) => void;

const FLOAT = 1;
const UINT8 = 2;
const INT64 = 7;
const ATTRIBUTE_IS_INT = 2;

export interface OddModel {
  /** Written as metadata, as given. */
  metadata: Record<string, string>;
  /** Side of the input that the graph takes, pixels. */
  side: number;
  /** Numbers that the graph gives: 1 and zeros. */
  dimension: number;
}

/**
 * A network that answers a black image with a unit vector, and fails at run time on every other image: the brightest
 * grey is taken as an index into a table with one row.
 */
export function failingModel({ metadata, side, dimension }: OddModel): Uint8Array {
  const graph: Write = (w) => {
    nested(w, 1, node("ReduceMax", ["roi"], "brightest", { keepdims: 0 }));
    nested(w, 1, node("Cast", ["brightest"], "row", { to: INT64 }));
    nested(w, 1, node("Gather", ["table", "row"], "signature", { axis: 0 }));
    w.uint32(tag(2, BYTES)).string("failing");
    nested(w, 5, table(dimension));
    nested(w, 11, value("roi", UINT8, [1, 1, side, side]));
    nested(w, 12, value("signature", FLOAT, [dimension]));
  };
  const writer = protobuf.Writer.create();
  writer.uint32(tag(1, VARINT)).int32(9);
  nested(writer, 7, graph);
  nested(writer, 8, (w) => w.uint32(tag(2, VARINT)).int32(18));
  for (const [key, text] of Object.entries(metadata)) {
    nested(writer, 14, (w) => w.uint32(tag(1, BYTES)).string(key).uint32(tag(2, BYTES)).string(text));
  }
  return writer.finish();
}

const VARINT = 0;
const BYTES = 2;
const tag = (field: number, wireType: number) => (field << 3) | wireType;

function nested(writer: protobuf.Writer, field: number, write: Write): void {
  writer.uint32(tag(field, BYTES)).fork();
  write(writer);
  writer.ldelim();
}

function node(op: string, inputs: string[], output: string, attributes: Record<string, number>): Write {
  return (w) => {
    for (const input of inputs) w.uint32(tag(1, BYTES)).string(input);
    w.uint32(tag(2, BYTES)).string(output).uint32(tag(4, BYTES)).string(op);
    for (const [name, number] of Object.entries(attributes)) {
      nested(w, 5, (a) => {
        a.uint32(tag(1, BYTES)).string(name).uint32(tag(3, VARINT)).int32(number);
        a.uint32(tag(20, VARINT)).int32(ATTRIBUTE_IS_INT);
      });
    }
  };
}

/** One row: 1 and zeros. */
function table(dimension: number): Write {
  return (w) => {
    w.uint32(tag(1, VARINT)).int32(1).uint32(tag(1, VARINT)).int32(dimension);
    w.uint32(tag(2, VARINT)).int32(FLOAT);
    w.uint32(tag(4, BYTES)).fork();
    for (let i = 0; i < dimension; i++) w.float(i === 0 ? 1 : 0);
    w.ldelim();
    w.uint32(tag(8, BYTES)).string("table");
  };
}

function value(name: string, type: number, dimensions: readonly number[]): Write {
  return (w) => {
    w.uint32(tag(1, BYTES)).string(name);
    nested(w, 2, (t) =>
      nested(t, 1, (tensor) => {
        tensor.uint32(tag(1, VARINT)).int32(type);
        nested(tensor, 2, (shape) => {
          for (const size of dimensions) nested(shape, 1, (d) => d.uint32(tag(1, VARINT)).int32(size));
        });
      }),
    );
  };
}
