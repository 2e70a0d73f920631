package example;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Instant;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;

import com.google.gson.Gson;
import com.uber.cadence.activity.Activity;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** An activity that others do: it publishes what they need, with the task token, and leaves itself open. */
public final class Publisher implements Main.Charging {

    private final KafkaProducer<String, String> producer;
    private final String requests;
    private final String replies;

    Publisher(KafkaProducer<String, String> producer, String requests, String replies) {
        this.producer = producer;
        this.requests = requests;
        this.replies = replies;
    }

    @Override
    public Main.Charge charge(Main.Order order) {
        var task = Activity.getTask();
        var run = task.getWorkflowExecution();
        var request = Map.of(
                "task_token", Base64.getEncoder().encodeToString(task.getTaskToken()),
                "activity", Map.of("domain", task.getWorkflowDomain(), "workflow_id", run.getWorkflowId(), "run_id", run.getRunId(),
                        "activity_id", task.getActivityId(), "attempt", task.getAttempt(), "activity_type", task.getActivityType(),
                        "workflow_type", task.getWorkflowType().getName()),
                "input", List.of(order),
                "reply_to", replies,
                "deadline", Instant.now().plus(task.getStartToCloseTimeout()).toString());
        var record = new ProducerRecord<>(requests, task.getWorkflowDomain() + "/" + run.getWorkflowId(), new Gson().toJson(request));
        // For services that answer by echoing headers, as Spring's do.
        record.headers().add("kafka_correlationId", task.getTaskToken()).add("kafka_replyTopic", replies.getBytes(UTF_8));
        try {
            producer.send(record).get();
        } catch (InterruptedException | ExecutionException fault) {
            // Not published: the attempt fails, and the retry policy decides.
            throw Activity.wrap(fault);
        }
        // Left pending only now that the request is safe. What is returned here is ignored.
        Activity.doNotCompleteOnReturn();
        return null;
    }
}
