package peers;

import com.google.common.util.concurrent.FutureCallback;
import com.google.common.util.concurrent.Futures;
import com.google.common.util.concurrent.ListenableFuture;
import com.google.common.util.concurrent.MoreExecutors;
import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.CommitMode;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import io.confluent.parallelconsumer.PollContext;
import io.confluent.parallelconsumer.reactor.ReactorProcessor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import reactor.core.publisher.Mono;

/** Confluent's parallel-consumer, unordered: with a pool of threads that block in the call, or with Reactor. */
public final class Parallel {
  private Parallel() {}

  public static void main(String[] args) {
    Settings settings = Settings.read();
    ParallelConsumerOptions<byte[], byte[]> options =
        ParallelConsumerOptions.<byte[], byte[]>builder()
            .consumer(settings.consumer())
            .ordering(ProcessingOrder.UNORDERED)
            .maxConcurrency(settings.window())
            .commitMode(CommitMode.PERIODIC_CONSUMER_ASYNCHRONOUS)
            .commitInterval(Duration.ofSeconds(1))
            .build();
    // -Dpeers.mode tries another way without building the bench again.
    switch (System.getProperty("peers.mode", args[0])) {
      case "blocking" -> block(settings, options, new Engine(settings)::completeBlocking);
      case "official" -> block(settings, options, new Official(settings)::complete);
      case "reactor" -> react(settings, options);
      default -> throw new IllegalArgumentException("mode");
    }
  }

  private static void block(
      Settings settings, ParallelConsumerOptions<byte[], byte[]> options, Consumer<Envelope> call) {
    var processor = ParallelStreamProcessor.createEosStreamProcessor(options);
    processor.subscribe(List.of(settings.topic()));
    processor.poll(context -> call.accept(Envelope.read(value(context))));
  }

  private static void react(Settings settings, ParallelConsumerOptions<byte[], byte[]> options) {
    Engine engine = new Engine(settings);
    var processor = new ReactorProcessor<>(options);
    processor.subscribe(List.of(settings.topic()));
    processor.react(context -> Mono.fromFuture(future(engine.complete(Envelope.read(value(context))))));
  }

  private static byte[] value(PollContext<byte[], byte[]> context) {
    return context.getSingleConsumerRecord().value();
  }

  private static <T> CompletableFuture<T> future(ListenableFuture<T> listenable) {
    CompletableFuture<T> future = new CompletableFuture<>();
    Futures.addCallback(
        listenable,
        new FutureCallback<T>() {
          @Override
          public void onSuccess(T answer) {
            future.complete(answer);
          }

          @Override
          public void onFailure(Throwable fault) {
            future.completeExceptionally(fault);
          }
        },
        MoreExecutors.directExecutor());
    return future;
  }
}
