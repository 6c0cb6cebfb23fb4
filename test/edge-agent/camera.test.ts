// A camera's ffmpeg: real processes, real files; sockets that say nothing, programs that misbehave.
import { spawnSync } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { type CameraAddress, cameraAddress, withoutCredentials } from "../../edge-agent/camera/address.js";
import { Camera, type CameraOptions } from "../../edge-agent/camera/camera.js";
import { captureOf, findFfmpeg } from "../../edge-agent/camera/ffmpeg.js";
import { type CameraImage, Y4mReader } from "../../edge-agent/camera/y4m.js";
import { listLog } from "./lane.js";
import { startRtspServer } from "./rtsp-server.js";
import { drawVideo, temporaryFolder } from "./videos.js";

const CAPTURE = { size: { widthPx: 640, heightPx: 480 }, maxFps: 15 };
const QUICK = { restart: { leastMs: 1, firstCeilingMs: 10, mostMs: 10 }, killAfterMs: 200 };

function address(text: string): CameraAddress {
  const result = cameraAddress(text);
  if (!result.ok) throw new Error(result.why);
  return result.address;
}

function openCamera(text: string, options: Partial<CameraOptions> = {}) {
  const { log, lines } = listLog();
  const events = new EventEmitter();
  const counts = { restart: 0, overwritten: 0 };
  const count = (what: keyof typeof counts) => {
    counts[what] += 1;
    events.emit(what);
  };
  const camera = new Camera({
    address: address(text),
    ffmpeg: findFfmpeg(),
    ...CAPTURE,
    log,
    timings: QUICK,
    onRestart: () => count("restart"),
    onImage: (result) => {
      if (result === "overwritten") count("overwritten");
    },
    ...options,
  });
  onTestFinished(() => camera.close());
  /** Resolves when it has happened so many times. */
  const happened = async (what: keyof typeof counts, times: number) => {
    while (counts[what] < times) await once(events, what);
  };
  return { camera, lines, counts, happened };
}

async function nextOf(camera: Camera): Promise<CameraImage> {
  const image = await camera.next();
  if (!image) throw new Error("the camera is closed");
  return image;
}

/** A program in place of ffmpeg. */
function program(script: string): string {
  const file = join(temporaryFolder(), "ffmpeg");
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return file;
}

const isRunning = (pid: number): boolean => existsSync(`/proc/${pid}`);

describe("a camera's address", () => {
  it.each([
    ["/dev/video0", "device"],
    ["/dev/v4l/by-id/usb-046d_HD_Webcam-video-index0", "device"],
    ["rtsp://camera.example:554/stream", "stream"],
    ["rtsps://user:pass@camera.example/stream?x=1", "stream"],
    ["visit.mp4", "file"],
    ["./a b/visit.mp4", "file"],
  ])("is taken: %s", (text, kind) => {
    expect(cameraAddress(text)).toMatchObject({ ok: true, address: { kind } });
  });

  it.each([
    "",
    "-f",
    "-i x",
    "http://a/b",
    "concat:a|b",
    "pipe:0",
    "lavfi:color",
    "file:///etc/passwd",
    "/dev/sda",
    "/dev/video0/../sda",
    "rtsp:",
    "rtsp://",
    "a\nb",
    "a\0b",
    "x".repeat(2000),
  ])("is refused: %j", (text) => {
    expect(cameraAddress(text)).toMatchObject({ ok: false });
  });

  it("smuggles no option and no other protocol to ffmpeg, whatever is asked for", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.webUrl({ validSchemes: ["rtsp", "http"] })), (text) => {
        const result = cameraAddress(text);
        if (!result.ok) return;
        const { args, stdin } = captureOf(result.address, { ...CAPTURE, silenceMs: 1000 });
        expect(args[args.indexOf("-i") + 1]).toMatch(/^(file:\/|pipe:0$|\/dev\/v)/);
        const list = /^ffconcat version 1\.0\nfile 'rtsps?:\/\/[^'\n\\]+'\n(option [a-z_]+ \w+\n)+$/;
        if (stdin !== "") expect(stdin).toMatch(list);
        expect(args.filter((each) => each === "-i")).toHaveLength(1);
      }),
    );
  });

  it("is shown, and quoted by ffmpeg, without its credentials", () => {
    const secret = address("rtsp://anna:s%2Fcret@camera.example:554/stream?token=abcd");
    expect(secret.shown).toBe("rtsp://camera.example:554/stream");
    const said =
      "[rtsp] method DESCRIBE rtsp://anna:s%2Fcret@camera.example/x?token=abcd failed: s/cret anna";
    const told = withoutCredentials(said, secret);
    for (const each of ["anna", "s%2Fcret", "s/cret", "abcd"]) expect(told).not.toContain(each);
    expect(told).toContain("DESCRIBE rtsp://camera.example/x?");
  });
});

describe("ffmpeg", () => {
  it("is found by its variable or on PATH, and asked for by name when there is none", () => {
    const own = program("exit 0");
    expect(findFfmpeg({ FFMPEG: own })).toBe(own);
    expect(findFfmpeg({ PATH: join(own, "..") })).toBe(own);
    expect(() => findFfmpeg({ PATH: "/nowhere" })).toThrow("apt-get install ffmpeg");
    expect(() => findFfmpeg({ FFMPEG: "/nowhere/ffmpeg" })).toThrow("/nowhere/ffmpeg");
  });
});

describe("a camera", () => {
  it("gives images in the video's proportion, scaled down, at the wanted rate, and reads a file again and again", async () => {
    const file = drawVideo({ seconds: 0.5, size: "1280x720" });
    const { camera } = openCamera(file);
    const times: number[] = [];
    for (let i = 0; i < 16; i++) {
      const image = await nextOf(camera);
      expect(image).toMatchObject({ widthPx: 640, heightPx: 360 });
      expect(image.luma).toHaveLength(640 * 360);
      // 0x40 as the scene's grey, at full range.
      const mean = image.luma.reduce((sum, each) => sum + each, 0) / image.luma.length;
      expect(mean).toBeGreaterThan(58);
      expect(mean).toBeLessThan(70);
      times.push(image.atMs);
    }
    const perSecond = 15_000 / ((times.at(-1) ?? 0) - (times[0] ?? 0));
    expect(perSecond).toBeGreaterThan(10);
    expect(perSecond).toBeLessThan(20);
  });

  it("gives the newest image to whoever comes late, and counts those that nobody read", async () => {
    const { camera, counts, happened } = openCamera(drawVideo({ seconds: 2 }));
    const first = (await nextOf(camera)).index;
    await happened("overwritten", 5);
    const late = (await nextOf(camera)).index;
    expect(late).toBe(first + 1 + counts.overwritten);
  });

  it("is started again when its ffmpeg is killed", async () => {
    const { camera, lines, counts } = openCamera(drawVideo({ seconds: 2 }));
    await nextOf(camera);
    const { pid } = camera;
    if (pid === undefined) throw new Error("no child");
    process.kill(pid, "SIGKILL");
    let image = await nextOf(camera);
    while (camera.pid === pid || camera.pid === undefined || image.index > 0) image = await nextOf(camera);
    expect(counts.restart).toBe(1);
    expect(lines).toEqual([{ level: "warn", text: expect.stringContaining("SIGKILL") }]);
  });

  it("is started again when it says nothing, also where ffmpeg does not listen to a request to end", async () => {
    const deaf = program("trap '' TERM\nexec 1>&-\nwhile :; do sleep 0.05; done");
    const timings = { ...QUICK, startDeadlineMs: 50 };
    const { happened, lines } = openCamera("x.avi", { ffmpeg: deaf, timings });
    await happened("restart", 2);
    expect(lines[0]?.text).toContain("no image for 50 ms");
  });

  it("is started again when a network camera takes the connection and then goes silent", async () => {
    const sockets: Socket[] = [];
    let cameOften = () => {};
    const often = new Promise<void>((resolve) => {
      cameOften = resolve;
    });
    const server = createServer((socket) => {
      if (sockets.push(socket) === 2) cameOften();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      for (const each of sockets) each.destroy();
      server.close();
    });
    const bound = server.address();
    if (bound === null || typeof bound === "string") throw new Error("no port");
    const text = `rtsp://anna:secret@127.0.0.1:${bound.port}/live`;
    // Long enough for ffmpeg to start and connect on a busy machine.
    const { happened, lines } = openCamera(text, { timings: { ...QUICK, startDeadlineMs: 1_000 } });
    await often;
    await happened("restart", 1);
    expect(JSON.stringify(lines)).not.toMatch(/anna|secret/);
  });

  it.each([
    ["writes no images", "echo hello world; sleep 5"],
    ["writes without end", "yes | tr -d '\\n'"],
    ["claims huge images", "echo 'YUV4MPEG2 W99999 H99999 C420jpeg'; sleep 5"],
    ["cannot open the source", "echo 'no such device' >&2; exit 1"],
  ])("is started again, and the log says why, when ffmpeg %s", async (_what, script) => {
    const { happened, lines } = openCamera("x.avi", { ffmpeg: program(script) });
    await happened("restart", 1);
    expect(lines[0]?.text).toMatch(/YUV4MPEG2|more than 512 bytes|sides must be|no such device/);
  });

  it("keeps of what ffmpeg says no more than the last lines", async () => {
    const { happened, lines } = openCamera("x.avi", {
      ffmpeg: program('i=0; while [ $i -lt 5000 ]; do echo "line $i" >&2; i=$((i+1)); done'),
    });
    await happened("restart", 1);
    expect(lines[0]?.text.length).toBeLessThan(3000);
    expect(lines[0]?.text).toContain("line 4999");
  });

  it("leaves no process behind, and whoever waits for an image learns of the end", async () => {
    const { camera } = openCamera(drawVideo({ seconds: 1 }));
    await nextOf(camera);
    const { pid } = camera;
    if (pid === undefined) throw new Error("no child");
    expect(isRunning(pid)).toBe(true);
    const children = readdirSync(`/proc/${process.pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${process.pid}/task/${task}/children`, "utf8").trim().split(" "),
    );
    expect(children).toContain(String(pid));
    let image: CameraImage | undefined;
    const drained = (async () => {
      do image = await camera.next();
      while (image);
    })();
    await camera.close();
    await drained;
    expect(isRunning(pid)).toBe(false);
    expect(await camera.next()).toBeUndefined();
  });
});

describe("a network camera", () => {
  it("gives images behind its user and password, and again when its line was cut", async () => {
    const server = await startRtspServer(drawVideo({ seconds: 1, size: "320x240" }), "anna:s/cret");
    const text = `rtsp://anna:s%2Fcret@127.0.0.1:${server.port}/live`;
    const { camera, lines, happened } = openCamera(text);
    expect(await nextOf(camera)).toMatchObject({ widthPx: 320, heightPx: 240 });
    // Other users of the machine can read this.
    expect(readFileSync(`/proc/${camera.pid}/cmdline`, "utf8")).not.toMatch(/anna|cret/);
    server.cut();
    await happened("restart", 1);
    await nextOf(camera);
    expect(server.connections()).toBeGreaterThanOrEqual(2);
    expect(JSON.stringify(lines)).not.toMatch(/anna|cret/);
  });

  it("that refuses the password is asked again, and the log says so without it", async () => {
    const server = await startRtspServer(drawVideo({ seconds: 0.2, size: "320x240" }), "anna:other");
    const { lines, happened } = openCamera(`rtsp://anna:secret@127.0.0.1:${server.port}/live`);
    await happened("restart", 1);
    expect(lines[0]?.text).toContain("401 Unauthorized");
    expect(JSON.stringify(lines)).not.toMatch(/anna|secret/);
  });
});

describe("ffmpeg's stream", () => {
  const WIDTH = 16;
  const IMAGE_BYTES = WIDTH * WIDTH * 1.5;
  const header = Buffer.from(`YUV4MPEG2 W${WIDTH} H${WIDTH} F15:1 C420jpeg XCOLORRANGE=FULL\n`);
  const frame = (value: number) => Buffer.concat([Buffer.from("FRAME\n"), Buffer.alloc(IMAGE_BYTES, value)]);

  it("gives the same images however it is cut into pieces, the newest one first", () => {
    const stream = Buffer.concat([header, ...[10, 11, 12, 13].map(frame)]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 20, maxLength: 60 }), (sizes) => {
        const seen: number[] = [];
        const reader = new Y4mReader({ onImage: () => seen.push(reader.take()?.luma[0] ?? -1) });
        let at = 0;
        for (const size of [...sizes, stream.length]) {
          expect(reader.push(stream.subarray(at, at + size))).toBeUndefined();
          at += size;
        }
        expect(seen).toEqual([10, 11, 12, 13]);
      }),
    );
  });

  it("gives only the newest of images that nobody took", () => {
    const overwrote: boolean[] = [];
    const reader = new Y4mReader({ onImage: (did) => overwrote.push(did) });
    reader.push(Buffer.concat([header, frame(10), frame(11), frame(12)]));
    const image = reader.take();
    expect(image?.luma.every((each) => each === 12)).toBe(true);
    expect(image?.index).toBe(2);
    expect(reader.take()).toBeUndefined();
    expect(overwrote).toEqual([false, true, true]);
    reader.wipe();
    expect(image?.luma.every((each) => each === 0)).toBe(true);
  });

  it("ends with a reason, and never with an exception, when it is no such stream", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.boolean(), (bytes, hasHeader) => {
        let images = 0;
        const reader = new Y4mReader({ onImage: () => images++ });
        if (hasHeader) reader.push(header);
        const fault = reader.push(bytes);
        expect(images === 0 || fault === undefined || fault.length > 0).toBe(true);
        if (fault !== undefined) expect(reader.push(header)).toBe(fault);
      }),
    );
  });
});

it("the ffmpeg of this machine knows every option that is used", () => {
  const help = spawnSync(findFfmpeg(), ["-hide_banner", "-h", "full"], { encoding: "utf8" }).stdout;
  for (const option of ["-fps_mode", "-stream_loop", "-re ", "-rtsp_transport", "-protocol_whitelist"]) {
    expect(help).toContain(option);
  }
});
