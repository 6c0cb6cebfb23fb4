// What stands for a member where the member must not be named. Both are made of the data key and die with it.
//
// Invariant: nobody who has not the data key can say whose a pseudonym is, nor that two of them are one member's.
import { createHmac } from "node:crypto";
import { BOOKS_REF_BYTES } from "../wire/limits.js";

/** What wire/pairwise.ts makes a member's pseudonym at a site of: HMAC-SHA256(data key, "pairwise-root\0"), 32 bytes. */
export const pairwiseRoot = (dataKey: Uint8Array): Uint8Array =>
  createHmac("sha256", dataKey).update("pairwise-root\0").digest();

/** Stands for the member in decisions and payments: the first 16 bytes of HMAC-SHA256(data key, "books\0"). */
export const booksRef = (dataKey: Uint8Array): Uint8Array =>
  createHmac("sha256", dataKey).update("books\0").digest().subarray(0, BOOKS_REF_BYTES);
