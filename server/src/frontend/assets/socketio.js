
"use strict";
// The Socket.IO client that the gate serves, of version 4 or 2, as it comes: it polls first, then upgrades.
function openSocket(gate, proof, on) {
  if (typeof io !== "function") {
    on.disconnected("the gate serves no Socket.IO client");
    return () => {};
  }
  // Polling takes cookies along only where it is told to; a WebSocket always does.
  const socket = io(gate, {
    query: proof, withCredentials: document.body.dataset.auth === "session",
    forceNew: true, reconnection: false,
  });
  // Version 2 tells of a refusal by a text in `error`, version 4 by an Error in `connect_error`,
  // through which both tell of a failed transport as well.
  const isTransport = (error) => error.type === "TransportError" || error.message === "timeout";
  socket.on("connect", () => { on.connected(); socket.emit("whoami", on.user); });
  socket.on("error", (error) => {
    if (typeof error === "string") on.refused(error); else on.disconnected();
  });
  socket.on("connect_error", (error) => {
    if (isTransport(error)) on.disconnected(); else on.refused(error.message, error.data);
  });
  socket.on("disconnect", () => on.disconnected());
  return () => socket.close();
}
