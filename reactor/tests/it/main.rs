//! The reactor over real loopback sockets, with blocking threads as peers.

mod allocation;
mod closing;
mod connecting;
mod deadlines;
mod input;
mod listening;
mod moving;
mod output;
mod pausing;
mod test_shard;
mod tls;
