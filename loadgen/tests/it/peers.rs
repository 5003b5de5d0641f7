//! Servers that others wrote: Node's socket.io in two versions and ws, which count for themselves.

mod transports;

mod prometheus;
mod socketio;
mod websocket;
