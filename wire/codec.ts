// One place where bytes become messages and messages become bytes, for the edge link (edge-codec.ts) and the bus.
import { palmgate } from "./generated/bus.js";

export { decode, edge, encode } from "./edge-codec.js";
export import bus = palmgate.bus;
