// The page's steps: one is shown at a time, and its heading gets the focus, so that a screen reader reads on from there.
import { element } from "../dom.js";

const STEPS = ["pass", "consent", "phone", "card", "hand", "sending", "failed", "done", "forgotten"] as const;

export type StepName = (typeof STEPS)[number];

/** @param progress what stands in the corner, e.g. "Step 2 of 4" */
export function showStep(name: StepName, progress = ""): HTMLElement {
  element("loading", HTMLElement).hidden = true;
  for (const each of STEPS) stepOf(each).hidden = each !== name;
  setText("progress", progress);
  const step = stepOf(name);
  step.querySelector("h2")?.focus();
  return step;
}

const stepOf = (name: StepName): HTMLElement => element(`${name}-step`, HTMLElement);

/** Always as text, never as markup; the same again changes nothing, so that it is spoken once. */
export function setText(id: string, text: string): void {
  const target = element(id, HTMLElement);
  if (target.textContent !== text) target.textContent = text;
}

/**
 * Shows a form until what was entered will do.
 * @param read what was entered; a text is said as the reason why it will not do
 */
export function answered<T extends object>(
  name: StepName & ("pass" | "consent" | "phone" | "card"),
  { progress, why = "", read }: { progress: string; why?: string; read: () => T | string },
): Promise<T> {
  const form = showStep(name, progress);
  const say = (words: string) => {
    const target = form.querySelector("[role=alert]");
    if (target) target.textContent = words;
  };
  say(why);
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      const entered = read();
      if (typeof entered === "string") return say(entered);
      say("");
      form.onsubmit = null;
      resolve(entered);
    };
  });
}

/** Resolves when the button is pressed. */
export function pressed(id: string): Promise<void> {
  const button = element(id, HTMLButtonElement);
  return new Promise((resolve) => {
    button.onclick = () => resolve();
  });
}
