package peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import com.uber.cadence.api.v1.Payload;
import com.uber.cadence.api.v1.RespondActivityTaskCompletedRequest;
import java.io.IOException;
import java.io.UncheckedIOException;

/** A reply. The result is the bytes as received: streaming finds where they begin and end. */
record Envelope(byte[] token, byte[] value, int from, int to) {
  private static final JsonFactory JSON = new JsonFactory();

  static Envelope read(byte[] value) {
    byte[] token = null;
    int from = 0;
    int to = 0;
    try (JsonParser parser = JSON.createParser(value)) {
      parser.nextToken();
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String name = parser.currentName();
        parser.nextToken();
        switch (name) {
          case "task_token" -> token = parser.getBinaryValue();
          case "result" -> {
            from = (int) parser.currentTokenLocation().getByteOffset();
            parser.skipChildren();
            // A scalar string is lazy: only reading on tells where it ends.
            parser.finishToken();
            to = (int) parser.currentLocation().getByteOffset();
          }
          default -> parser.skipChildren();
        }
      }
    } catch (IOException fault) {
      throw new UncheckedIOException(fault);
    }
    if (token == null) throw new IllegalArgumentException("no task_token");
    return new Envelope(token, value, from, to);
  }

  RespondActivityTaskCompletedRequest request() {
    ByteString result = UnsafeByteOperations.unsafeWrap(value, from, to - from);
    return RespondActivityTaskCompletedRequest.newBuilder()
        .setTaskToken(UnsafeByteOperations.unsafeWrap(token))
        .setResult(Payload.newBuilder().setData(result))
        .setIdentity("peers/java")
        .build();
  }
}
