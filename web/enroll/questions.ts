// The questions of the page: pass, consent, phone number, test card.
import { element } from "../dom.js";
import { passIn } from "../pass.js";
import { askTerms, type Purpose, type Terms } from "./desk.js";
import { answered, setText } from "./steps.js";

const E164_PATTERN = /^\+[1-9]\d{6,14}$/;

export interface Admitted {
  pass: string;
  terms: Terms;
}

/** Asks for a pass until the gateway knows it. @param pass tried first */
export async function askPass(pass: string | undefined, why = ""): Promise<Admitted> {
  for (let typed = pass, said = why; ; ) {
    if (typed !== undefined) {
      const terms = await askTerms(typed);
      if (terms.ok) return { pass: typed, terms: terms.value };
      said = terms.why;
    }
    const input = element("pass", HTMLInputElement);
    const read = () => {
      const code = passIn(input.value);
      return code === "" ? "Please enter the code, or the whole link." : { code };
    };
    typed = (await answered("pass", { progress: "", why: said, read })).code;
  }
}

/** Nothing is ticked before the person ticks it. */
export async function askConsent(terms: Terms, progress: string, why = ""): Promise<readonly Purpose[]> {
  setText("consent-title", terms.title);
  const points = terms.points.flatMap(({ heading, text }) => [made("dt", heading), made("dd", text)]);
  element("consent-points", HTMLElement).replaceChildren(...points);
  const boxes = terms.consents.map((purpose) =>
    choice("checkbox", "purpose", purpose, terms.purposes[purpose]),
  );
  element("consent-purposes", HTMLElement).replaceChildren(...boxes.map(({ label }) => label));
  const read = () => {
    const purposes = terms.consents.filter((_, index) => boxes[index]?.input.checked);
    return purposes.length === 0 ? "Please tick what you agree to, or close this page." : { purposes };
  };
  return (await answered("consent", { progress, why, read })).purposes;
}

export async function askPhone(progress: string, why = ""): Promise<string> {
  const input = element("phone", HTMLInputElement);
  const read = () => {
    const phone = input.value.replaceAll(/[\s()./-]/g, "").replace(/^00/, "+");
    return E164_PATTERN.test(phone) ? { phone } : "Please enter the number with + and the country code.";
  };
  return (await answered("phone", { progress, why, read })).phone;
}

/** @returns the card's name */
export async function askCard({ testCards }: Terms, progress: string): Promise<string> {
  const choices = testCards.map(({ name, brand, last4, what }, index) => {
    const made = choice("radio", "card", name, `Test ${brand} ending in ${last4}: ${what}`);
    made.input.checked = index === 0;
    return made;
  });
  element("cards", HTMLElement).replaceChildren(...choices.map(({ label }) => label));
  const read = () => {
    const card = choices.find(({ input }) => input.checked)?.input.value;
    return card === undefined ? "Please choose a card." : { card };
  };
  return (await answered("card", { progress, read })).card;
}

function made(tag: "dt" | "dd", text: string): HTMLElement {
  const one = document.createElement(tag);
  one.textContent = text;
  return one;
}

function choice(type: "checkbox" | "radio", name: string, value: string, text: string) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  const words = document.createElement("span");
  Object.assign(input, { type, name, value });
  words.textContent = text;
  label.append(input, words);
  return { label, input };
}
