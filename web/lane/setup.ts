// The form that turns this browser into a lane, for whoever has a pass.
import { element } from "../dom.js";
import { passIn } from "../pass.js";
import type { Device } from "./device.js";
import { pair } from "./pairing.js";

/**
 * Asks for a pass until the gateway takes one.
 * @param why what is said first: why there is no device, or why the old one will not do; may be empty
 */
export function askForPass(why: string): Promise<Device> {
  const form = element("setup", HTMLFormElement);
  const input = element("pass", HTMLInputElement);
  const button = element("pair", HTMLButtonElement);
  const reason = element("setup-why", HTMLElement);
  const say = (words: string) => {
    reason.textContent = words;
  };
  say(why);
  form.hidden = false;
  input.focus();
  return new Promise((resolve) => {
    form.onsubmit = async (event) => {
      event.preventDefault();
      const pass = passIn(input.value);
      if (pass === "") return say("Please enter the code, or the whole link.");
      say("");
      // A second press would spend the pass once more.
      button.disabled = true;
      const paired = await pair(pass);
      button.disabled = false;
      if (!paired.ok) return say(paired.why);
      form.hidden = true;
      resolve(paired.device);
    };
  });
}
