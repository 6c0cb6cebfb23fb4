import { once } from "node:events";
import { createServer } from "node:net";
import { expect, it } from "vitest";
import { operatorApi } from "../../cli/operator-api.js";

it("a desk that is not there is an answer with a code, not an exception", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  server.close();
  await once(server, "close");
  const answer = await operatorApi(`http://127.0.0.1:${port}`, "token").get("/api/v1/status");
  expect(answer).toMatchObject({
    ok: false,
    code: "NO_ANSWER",
    message: expect.stringContaining("ECONNREFUSED"),
  });
});
