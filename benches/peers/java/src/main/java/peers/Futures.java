package peers;

import com.google.common.util.concurrent.FutureCallback;
import com.google.common.util.concurrent.MoreExecutors;
import com.uber.cadence.api.v1.RespondActivityTaskCompletedResponse;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Semaphore;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** One poll loop, calls as futures, a semaphore for how many there are at once, and the contiguous prefix committed. */
public final class Futures implements ConsumerRebalanceListener {
  private static final long COMMIT_NANOS = Duration.ofSeconds(1).toNanos();

  private final Engine engine;
  private final Semaphore places;
  private final KafkaConsumer<byte[], byte[]> consumer;
  private final Map<TopicPartition, Prefix> prefixes = new HashMap<>();
  private long committed = System.nanoTime();

  private Futures(Settings settings) {
    engine = new Engine(settings);
    places = new Semaphore(settings.window());
    consumer = settings.consumer();
    consumer.subscribe(List.of(settings.topic()), this);
  }

  public static void main(String[] args) throws InterruptedException {
    new Futures(Settings.read()).run();
  }

  private void run() throws InterruptedException {
    while (true) {
      for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
        if (!places.tryAcquire()) {
          commitInTime();
          places.acquire();
        }
        begin(record);
      }
      commitInTime();
    }
  }

  private void begin(ConsumerRecord<byte[], byte[]> record) {
    TopicPartition partition = new TopicPartition(record.topic(), record.partition());
    Prefix prefix = prefixes.computeIfAbsent(partition, p -> new Prefix());
    Prefix.Entry entry = prefix.begin(record.offset());
    com.google.common.util.concurrent.Futures.addCallback(
        engine.complete(Envelope.read(record.value())),
        new FutureCallback<RespondActivityTaskCompletedResponse>() {
          @Override
          public void onSuccess(RespondActivityTaskCompletedResponse answer) {
            prefix.finish(entry);
            places.release();
          }

          @Override
          public void onFailure(Throwable fault) {
            fault.printStackTrace();
            Runtime.getRuntime().halt(1);
          }
        },
        MoreExecutors.directExecutor());
  }

  private void commitInTime() {
    if (System.nanoTime() - committed < COMMIT_NANOS) return;
    committed = System.nanoTime();
    Map<TopicPartition, OffsetAndMetadata> offsets = take(prefixes.keySet());
    if (!offsets.isEmpty()) consumer.commitAsync(offsets, null);
  }

  private Map<TopicPartition, OffsetAndMetadata> take(Collection<TopicPartition> partitions) {
    Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
    for (TopicPartition partition : partitions) {
      Prefix prefix = prefixes.get(partition);
      long next = prefix == null ? -1 : prefix.take();
      if (next >= 0) offsets.put(partition, new OffsetAndMetadata(next));
    }
    return offsets;
  }

  @Override
  public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}

  @Override
  public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
    consumer.commitSync(take(partitions));
    prefixes.keySet().removeAll(partitions);
  }
}
