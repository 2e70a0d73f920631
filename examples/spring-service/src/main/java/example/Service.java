package example;

import java.util.List;
import java.util.Map;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.support.KafkaNull;
import org.springframework.messaging.handler.annotation.SendTo;

/** Charges cards. What it returns is the activity's result, what it throws is the activity's failure. */
@SpringBootApplication
public class Service {

    public record Order(long amount, String currency) {}

    /** A request: only what this service needs of it. */
    public record Request(String task_token, List<Order> input) {}

    public record Charge(String charge_id, long amount) {}

    public static class CardDeclined extends RuntimeException {
        public CardDeclined(String message) {
            super(message);
        }
    }

    // @SendTo without a topic answers where the header kafka_replyTopic says.
    @KafkaListener(topics = "${requests}", splitIterables = false)
    @SendTo
    public Object charge(Request request) {
        Order order = request.input().get(0);
        if (order.amount() > 100_000) {
            throw new CardDeclined("over the limit: " + order.amount());
        }
        if (order.amount() < 0) {
            // An envelope says what a return value cannot: here a reason of our own, with details.
            return Map.of("task_token", request.task_token(),
                    "failure", Map.of("reason", "BadAmount", "details", Map.of("amount", order.amount())));
        }
        if (order.amount() == 0) {
            // Spring sends nothing for null, and the activity would wait until it times out. This is "done, no result".
            return KafkaNull.INSTANCE;
        }
        if (order.currency() == null) {
            // One activity, one answer: without splitIterables = false each element would be a reply of its own.
            return List.of(new Charge("ch_half", order.amount() / 2), new Charge("ch_rest", order.amount() - order.amount() / 2));
        }
        return new Charge("ch_" + order.amount(), order.amount());
    }

    public static void main(String[] arguments) {
        SpringApplication.run(Service.class, arguments);
    }
}
