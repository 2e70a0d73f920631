//! An address to listen on, or `off`.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serializer, de};

const OFF: &str = "off";

pub(super) fn serialize<S: Serializer>(address: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    match address {
        Some(address) => serializer.collect_str(address),
        None => serializer.serialize_str(OFF),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == OFF {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        de::Error::custom(format!("{text:?} is no address; write IP and port like \"127.0.0.1:9464\", or \"off\""))
    })
}
