//! `kafka.brokers`: librdkafka passes over what it cannot read, and says so in a log only.

/// What librdkafka takes before an address, in any case; other schemes are not Kafka's.
const PROTOCOLS: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];

/// What is wrong with a list of brokers, if anything.
pub(super) fn fault(brokers: &str) -> Option<String> {
    let mut named = brokers.split(',').map(str::trim).filter(|broker| !broker.is_empty()).peekable();
    if named.peek().is_none() {
        return Some("names no broker".into());
    }
    named.find_map(broker_fault)
}

fn broker_fault(broker: &str) -> Option<String> {
    let wrong = |why: &str| Some(format!("{broker:?} is no broker: {why}; write host:port, separated by commas"));
    let address = match broker.split_once("://") {
        Some((scheme, _)) if !PROTOCOLS.contains(&scheme.to_ascii_lowercase().as_str()) => {
            return wrong(&format!("brokers have no {scheme}:// before them"));
        }
        Some((_, address)) => address,
        None => broker,
    };
    if address.contains(['/', ';', '?', '@', '"', '\'']) || address.contains(char::is_whitespace) {
        return wrong("it has a character that no address has");
    }
    // An IPv6 address has colons of its own, and stands in brackets beside a port.
    let port = match address.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((_, "")) => return None,
            Some((_, rest)) => rest.strip_prefix(':').unwrap_or("none"),
            None => return wrong("its bracket is not closed"),
        },
        None => match address.split_once(':') {
            None => return None,
            Some(("", _)) => return wrong("it has no host"),
            // An address without brackets is all host.
            Some((_, rest)) if rest.contains(':') => return None,
            Some((_, port)) => port,
        },
    };
    if port.parse::<u16>().is_ok_and(|port| port > 0) {
        None
    } else {
        wrong("its port is not a number from 1 to 65535")
    }
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn a_list_of_brokers_that_librdkafka_would_pass_over_is_refused_with_the_right_way() {
        for (brokers, why) in [
            ("", "names no broker"),
            (" , ", "names no broker"),
            ("kafka://broker:9092", "no kafka:// before them"),
            ("b1:9092,http://b2:9092", "no http:// before them"),
            ("tcp://b1:9092", "no tcp:// before them"),
            ("b1:9092;b2:9092", "a character that no address has"),
            ("b1:9092 b2:9092", "a character that no address has"),
            ("b1:9092/", "a character that no address has"),
            ("user@b1:9092", "a character that no address has"),
            ("\"b1:9092\"", "a character that no address has"),
            ("b1:", "its port"),
            ("b1:kafka", "its port"),
            ("b1:0", "its port"),
            ("b1:90920", "its port"),
            (":9092", "it has no host"),
            ("[::1]9092", "its port"),
            ("[::1", "its bracket"),
        ] {
            let fault = fault(brokers).unwrap_or_else(|| panic!("{brokers:?} is taken"));
            assert!(fault.contains(why), "{brokers:?}: {fault}");
        }
        for brokers in [
            "localhost:9092",
            "b1:9092,b2:9092",
            " b1:9092 , b2:9092, ",
            "b1",
            "10.0.0.1:9092",
            "[::1]:9092",
            "[::1]",
            "SASL_SSL://b1:9093",
            "plaintext://b1:9092",
        ] {
            assert_eq!(fault(brokers), None, "{brokers}");
        }
    }
}
