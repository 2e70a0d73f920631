package peers;

import com.uber.cadence.client.ActivityCompletionClient;
import com.uber.cadence.client.WorkflowClient;
import com.uber.cadence.client.WorkflowClientOptions;
import com.uber.cadence.converter.DataConverter;
import com.uber.cadence.serviceclient.ClientOptions;
import com.uber.cadence.serviceclient.WorkflowServiceGrpc;
import java.lang.reflect.Type;
import java.util.Arrays;

/** The official Cadence client for Java, as its users call it. It has one connection and blocks. */
final class Official {
  private final ActivityCompletionClient client;

  Official(Settings settings) {
    String[] address = settings.engine().split(":");
    var options =
        ClientOptions.newBuilder()
            .setHost(address[0])
            .setPort(Integer.parseInt(address[1]))
            .setServiceName("cadence-frontend")
            .setClientAppName("peers")
            .build();
    var client = WorkflowClientOptions.newBuilder().setDomain("any").setDataConverter(new AsItIs()).build();
    this.client = WorkflowClient.newInstance(new WorkflowServiceGrpc(options), client).newActivityCompletionClient();
  }

  void complete(Envelope envelope) {
    client.complete(envelope.token(), Arrays.copyOfRange(envelope.value(), envelope.from(), envelope.to()));
  }

  /** The result is encoded already. */
  private static final class AsItIs implements DataConverter {
    @Override
    public byte[] toData(Object... values) {
      return (byte[]) values[0];
    }

    @Override
    public <T> T fromData(byte[] data, Class<T> type, Type generic) {
      throw new UnsupportedOperationException();
    }

    @Override
    public Object[] fromDataArray(byte[] data, Type... types) {
      throw new UnsupportedOperationException();
    }
  }
}
