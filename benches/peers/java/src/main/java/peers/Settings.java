package peers;

import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** What the bench tells a peer. */
record Settings(String brokers, String group, String topic, String engine, int connections, int window) {
  static Settings read() {
    return new Settings(
        System.getenv("PEER_BROKERS"),
        System.getenv("PEER_GROUP"),
        System.getenv("PEER_TOPIC"),
        System.getenv("PEER_ENGINE"),
        Integer.parseInt(System.getenv("PEER_CONNECTIONS")),
        Integer.parseInt(System.getenv("PEER_WINDOW")));
  }

  KafkaConsumer<byte[], byte[]> consumer() {
    Map<String, Object> config =
        Map.of(
            "bootstrap.servers", brokers,
            "group.id", group,
            "enable.auto.commit", false,
            "auto.offset.reset", "earliest",
            "max.poll.records", Math.max(500, 4 * window),
            "partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
    return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }
}
