package peers;

import com.google.common.util.concurrent.ListenableFuture;
import com.uber.cadence.api.v1.RespondActivityTaskCompletedResponse;
import com.uber.cadence.api.v1.WorkerAPIGrpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Calls over grpc-java, spread over some connections. */
final class Engine {
  private final ManagedChannel[] channels;
  private final WorkerAPIGrpc.WorkerAPIFutureStub[] futures;
  private final WorkerAPIGrpc.WorkerAPIBlockingStub[] blocking;
  private final AtomicInteger turn = new AtomicInteger();

  Engine(Settings settings) {
    Metadata headers = new Metadata();
    headers.put(key("rpc-caller"), "peers");
    headers.put(key("rpc-service"), "cadence-frontend");
    headers.put(key("rpc-encoding"), "proto");
    int connections = settings.connections();
    channels = new ManagedChannel[connections];
    futures = new WorkerAPIGrpc.WorkerAPIFutureStub[connections];
    blocking = new WorkerAPIGrpc.WorkerAPIBlockingStub[connections];
    for (int i = 0; i < connections; i++) {
      channels[i] =
          NettyChannelBuilder.forTarget("dns:///" + settings.engine())
              .usePlaintext()
              // What a callback does is short: no hop to another thread.
              .directExecutor()
              .intercept(MetadataUtils.newAttachHeadersInterceptor(headers))
              .build();
      futures[i] = WorkerAPIGrpc.newFutureStub(channels[i]);
      blocking[i] = WorkerAPIGrpc.newBlockingStub(channels[i]);
    }
  }

  private static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }

  private int next() {
    return Math.floorMod(turn.getAndIncrement(), channels.length);
  }

  ListenableFuture<RespondActivityTaskCompletedResponse> complete(Envelope envelope) {
    return futures[next()].withDeadlineAfter(10, TimeUnit.SECONDS).respondActivityTaskCompleted(envelope.request());
  }

  void completeBlocking(Envelope envelope) {
    blocking[next()].withDeadlineAfter(10, TimeUnit.SECONDS).respondActivityTaskCompleted(envelope.request());
  }
}
