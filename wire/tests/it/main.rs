//! The codecs from outside: rules as tables, properties over generated input, an independent implementation as the
//! oracle.

mod frame;
mod frame_rules;
mod http;
mod packets;
mod prometheus;
