// The TCP side of our NATS connections: the client library's own transport, less the one write that can end a process.
//
// When nats-server goes away, Node ends our side of the socket too; some turns of the event loop later the socket
// closes, and only then does the library learn of it. A frame sent in between fails with "write after end", which the
// socket emits as an 'error' on the next tick. The library listens for that, but its close() takes the listener away
// at once: whoever sends something and closes the connection in that moment, as a process does that shuts down along
// with nats-server, dies of an uncaught exception. The frame is lost either way, as is all that the server had not
// read; what must not be lost is acknowledged, and sent again.
import { NodeTransport, nodeResolveHost } from "@nats-io/transport-node/lib/node_transport.js";

//
// And where TLS is asked for, the certificate must be that of the address we dial. For an IP address the library leaves
// the name out, and Node would then be content with any certificate of "localhost".
class QuietTransport extends NodeTransport {
  override connect(...[to, options]: Parameters<NodeTransport["connect"]>): Promise<void> {
    if (!options.tls) return super.connect(to, options);
    // Handed on to Node's tls.connect(), which checks the certificate against it.
    const tls = Object.assign({ host: to.hostname }, options.tls);
    return super.connect(to, { ...options, tls });
  }

  override _send(frame: Uint8Array): Promise<void> {
    // There is no socket once the transport has closed, whatever the library's types say.
    return this.socket?.writableEnded ? Promise.resolve() : super._send(frame);
  }
}

/** For setTransportFactory(), which the library asks anew at each reconnection. */
export const quietTransport = { factory: () => new QuietTransport(), dnsResolveFn: nodeResolveHost };
