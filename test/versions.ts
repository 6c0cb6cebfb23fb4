// Says, once for a run, which nats-server the tests run on.
import { findNatsServer } from "../wire/nats-server.js";

export default function say(): void {
  // Asked once for each project of vitest.config.ts.
  if (process.env.PALMGATE_TEST_VERSIONS_SAID !== undefined) return;
  process.env.PALMGATE_TEST_VERSIONS_SAID = "1";
  const { path, version } = findNatsServer();
  process.stderr.write(`tests run on nats-server ${version} (${path}) and Node ${process.versions.node}\n`);
}
