// What ledgers and log say, as refusals of the API.
import { LogUnavailableError, type Saga } from "../records/index.js";
import { API_ERRORS, type ApiCode } from "../wire/errors.js";
import { type Refusal, refuse } from "./problem.js";

/** Why a saga was refused, in words of the catalogue. */
export function refusalOf({ code, detail }: Pick<Saga, "code" | "detail">): Refusal {
  return Object.hasOwn(API_ERRORS, code)
    ? refuse(code as ApiCode, detail)
    : refuse("INTERNAL", "A ledger refused this for a reason that is not known here.");
}

/** @throws Refusal where the log does not answer */
export async function logged<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof LogUnavailableError)
      throw refuse("LOG_UNAVAILABLE", "The event log did not answer.");
    throw error;
  }
}
