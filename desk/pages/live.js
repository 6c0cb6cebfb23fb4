// The live page: follows the fleet's decisions over one WebSocket and shows them. No library, no build step.
//
// Invariants:
// - everything from the desk is put in as text, never as markup;
// - rows and lanes are bounded; a hidden or paused page keeps counting and drops rows;
// - a lost link is said in words and taken up again by itself, with growing pauses.

const MAX_ROWS = 60;
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 10_000;
const SPEAK_INTERVAL_MS = 5000;
const CLOSED_UNAUTHORISED = 4401;
const TOKEN_KEY = "palmgate-live-token";
const STAGES = ["receiveMs", "queueMs", "signMs", "searchMs", "decideMs", "actMs", "betweenMs"];
/** Nice ends for the scale of the stage bars, milliseconds. */
const SCALES_MS = [10, 20, 50, 100, 200, 300, 500, 1000, 2000];

const byId = (id) => document.getElementById(id);
const texts = await (await fetch("/live/texts.json")).json();

const state = {
  decisions: [],
  lanes: new Map(),
  lastOfLane: new Map(),
  paused: false,
  show: "all",
  pauseMs: FIRST_PAUSE_MS,
  spokenAtMs: 0,
};

function element(name, properties = {}, ...children) {
  const { data, ...rest } = properties;
  const made = Object.assign(document.createElement(name), rest);
  Object.assign(made.dataset, data ?? {});
  made.append(...children);
  return made;
}

// ------------------------------------------------------------------ words

function verdictOf({ outcome, granted }) {
  if (granted) return "granted";
  if (outcome === "MATCH") return "refused";
  if (outcome === "NO_MATCH") return "unknown";
  if (outcome === "UNDECIDED") return "undecided";
  return "again";
}

const said = (decision) =>
  texts.display[decision.displayKey] ?? texts.reason[decision.reason] ?? decision.reason;
const timeOf = (unixMs) => new Date(unixMs).toLocaleTimeString("en-GB");
const milliseconds = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
const count = (number) => number.toLocaleString("en-GB");

function stagesOf({ stages }) {
  const named = STAGES.filter((stage) => stage in stages);
  const sum = named.reduce((total, stage) => total + stages[stage], 0);
  return { ...stages, betweenMs: Math.max(0, stages.totalMs - sum) };
}

// ------------------------------------------------------------------ lanes

function showLanes() {
  const cards = [...state.lanes.values()].map((lane) => {
    const decision = state.lastOfLane.get(lane.deviceId);
    return decision ? decidedCard(lane, decision) : waitingCard(lane);
  });
  byId("lanes").replaceChildren(...cards);
  byId("no-lanes").hidden = cards.length > 0;
}

const laneHeader = (lane) =>
  element(
    "header",
    {},
    element("h3", { textContent: lane.site }),
    element("span", { textContent: lane.deviceId }),
    lane.connected
      ? element("span", { textContent: texts.purpose[lane.purpose] ?? lane.purpose })
      : element("span", { className: "off", textContent: "Not connected" }),
  );

function waitingCard(lane) {
  const words = lane.connected ? "Waiting for a palm" : "The agent of this lane is not connected";
  return element(
    "li",
    { className: "lane", data: { lane: lane.deviceId } },
    laneHeader(lane),
    element(
      "div",
      { className: "said" },
      element("p", { className: "verdict", textContent: lane.connected ? "Ready" : "Away" }),
      element("p", { className: "reason", textContent: words }),
    ),
  );
}

function decidedCard(lane, decision) {
  const verdict = verdictOf(decision);
  return element(
    "li",
    {
      className: decision.fresh ? "lane fresh" : "lane",
      data: { lane: lane.deviceId, verdict },
    },
    laneHeader(lane),
    element(
      "div",
      { className: "said" },
      element("p", { className: "verdict", textContent: texts.verdict[verdict] }),
      element("p", { className: "reason", textContent: said(decision) }),
    ),
    element(
      "footer",
      {},
      element("span", { className: "who", textContent: decision.pairwiseId || "nobody" }),
      element("span", { textContent: timeOf(decision.atUnixMs) }),
      element("span", { textContent: milliseconds(decision.stages.totalMs) }),
    ),
  );
}

// ------------------------------------------------------------------ stream

function showRows() {
  if (state.paused) return;
  const shown = state.decisions.filter(
    ({ granted }) => state.show === "all" || granted === (state.show === "granted"),
  );
  const longestMs = Math.max(1, ...shown.map(({ stages }) => stages.totalMs));
  const scaleMs = SCALES_MS.find((end) => end >= longestMs) ?? longestMs;
  byId("scale").textContent = shown.length > 0 ? `0 to ${scaleMs} ms` : "";
  byId("rows").replaceChildren(...shown.map((decision) => row(decision, scaleMs)));
  byId("no-rows").hidden = shown.length > 0;
}

function row(decision, scaleMs) {
  const verdict = verdictOf(decision);
  return element(
    "tr",
    { data: { verdict } },
    element("td", { className: "quiet", textContent: timeOf(decision.atUnixMs) }),
    element("td", { textContent: `${decision.site} / ${decision.deviceId}` }),
    element("td", {}, element("span", { className: "badge", textContent: texts.verdict[verdict] })),
    element("td", { className: "who", textContent: decision.pairwiseId || "–" }),
    element("td", { className: "reason", textContent: texts.reason[decision.reason] ?? decision.reason }),
    element("td", {}, stageBar(decision, scaleMs)),
    element("td", { className: "number", textContent: milliseconds(decision.stages.totalMs) }),
  );
}

function stageBar(decision, scaleMs) {
  const stages = stagesOf(decision);
  const words = STAGES.map((stage) => `${texts.stage[stage]} ${milliseconds(stages[stage])}`).join(", ");
  const bar = element("div", { className: "stages", title: words });
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", words);
  for (const stage of STAGES) {
    const piece = element("i", { data: { stage } });
    piece.style.width = `${(100 * stages[stage]) / scaleMs}%`;
    bar.append(piece);
  }
  return bar;
}

// ------------------------------------------------------------------ header and counters

function showStatus({ status, stats }) {
  const { shards, shardsServed } = status.fleet;
  const share = stats.decisions > 0 ? `${Math.round((100 * stats.granted) / stats.decisions)} %` : "";
  const time = (ms) => (ms === null ? "–" : milliseconds(ms));
  const counters = [
    ["Decisions", count(stats.decisions), ""],
    ["Granted", count(stats.granted), share],
    ["Median of the last minute", time(stats.p50Ms), ""],
    ["95th percentile of it", time(stats.p95Ms), ""],
    ["Shards served", `${shardsServed} / ${shards}`, ""],
    ["Members", count(stats.members), ""],
  ];
  byId("counters").replaceChildren(
    ...counters.map(([name, value, note]) =>
      element(
        "div",
        {},
        element("dt", { textContent: name }),
        element("dd", { textContent: value }, element("small", { textContent: note })),
      ),
    ),
  );
  byId("facts").textContent = `Model ${status.modelId} · ${factsOf(status)}`;
  if (status.notReady.length === 0) showHealth("ready", "Ready");
  else showHealth("waiting", `Not ready: ${status.notReady.slice(0, 3).join("; ")}`);
  state.lanes = new Map(status.lanes.map((lane) => [lane.deviceId, lane]));
}

const plural = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

/** What runs, in a few words. */
function factsOf({ gateways, matchers, ledgers }) {
  const engines = [...new Set(gateways.map(({ transport }) => transport))].join(", ");
  const counts = [
    plural(gateways.length, "gateway"),
    plural(matchers.length, "matcher"),
    plural(ledgers.length, "ledger"),
  ];
  return engines ? `${counts.join(", ")} · ${engines}` : counts.join(", ");
}

function showHealth(health, words) {
  const pill = byId("health");
  // Said anew only when it changes, or a screen reader would repeat it every two seconds.
  if (pill.textContent === words && pill.dataset.health === health) return;
  pill.dataset.health = health;
  pill.textContent = words;
}

function speak(decision) {
  const now = performance.now();
  if (now - state.spokenAtMs < SPEAK_INTERVAL_MS) return;
  state.spokenAtMs = now;
  byId("spoken").textContent =
    `${decision.site}: ${texts.verdict[verdictOf(decision)]}. ${texts.reason[decision.reason]}`;
}

// ------------------------------------------------------------------ link

function take(decisions, fresh) {
  for (const decision of decisions) {
    state.decisions.unshift(decision);
    state.lastOfLane.set(decision.deviceId, { ...decision, fresh });
  }
  state.decisions.length = Math.min(state.decisions.length, MAX_ROWS);
}

function onMessage(message) {
  if (message.kind === "snapshot") {
    state.decisions = [];
    state.lastOfLane.clear();
    take(message.decisions, false);
  } else if (message.kind === "decisions") {
    for (const last of state.lastOfLane.values()) last.fresh = false;
    take(message.decisions, true);
    const latest = message.decisions.at(-1);
    if (latest) speak(latest);
  }
  if (message.status) showStatus(message);
  showLanes();
  if (message.decisions) showRows();
}

function connect() {
  const token = sessionStorage.getItem(TOKEN_KEY);
  // A token travels as a subprotocol: browsers send no headers of ours, and an address would end up in logs.
  const protocols = token ? ["palmgate-live", `token.${toBase64Url(token)}`] : ["palmgate-live"];
  const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/live`, protocols);
  socket.onmessage = ({ data }) => {
    byId("access").hidden = true;
    state.pauseMs = FIRST_PAUSE_MS;
    onMessage(JSON.parse(data));
  };
  socket.onclose = ({ code }) => {
    if (code === CLOSED_UNAUTHORISED) return askForToken(token !== null);
    showHealth("away", "Link lost, connecting again");
    setTimeout(connect, state.pauseMs * (0.5 + Math.random() / 2));
    state.pauseMs = Math.min(MAX_PAUSE_MS, state.pauseMs * 2);
  };
}

function toBase64Url(text) {
  const binary = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function askForToken(wasWrong) {
  sessionStorage.removeItem(TOKEN_KEY);
  showHealth("away", "Token needed");
  byId("access").hidden = false;
  byId("access-why").textContent = wasWrong ? "That was not the operator token." : "";
  byId("token").focus();
}

// ------------------------------------------------------------------ controls

byId("access").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN_KEY, byId("token").value);
  byId("token").value = "";
  showHealth("connecting", "Connecting");
  connect();
});

byId("pause").addEventListener("click", ({ currentTarget }) => {
  state.paused = !state.paused;
  currentTarget.setAttribute("aria-pressed", String(state.paused));
  currentTarget.textContent = state.paused ? "Go on" : "Pause";
  showRows();
});

byId("show").addEventListener("change", ({ currentTarget }) => {
  state.show = currentTarget.value;
  showRows();
});

byId("legend").append(
  ...STAGES.map((stage) => element("li", {}, element("i", { data: { stage } }), texts.stage[stage])),
);

connect();
