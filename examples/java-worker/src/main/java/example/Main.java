package example;

import java.time.Duration;
import java.util.Map;

import com.uber.cadence.activity.ActivityMethod;
import com.uber.cadence.activity.ActivityOptions;
import com.uber.cadence.client.WorkflowClient;
import com.uber.cadence.client.WorkflowClientOptions;
import com.uber.cadence.client.WorkflowException;
import com.uber.cadence.client.WorkflowOptions;
import com.uber.cadence.serviceclient.ClientOptions;
import com.uber.cadence.serviceclient.WorkflowServiceGrpc;
import com.uber.cadence.worker.WorkerFactory;
import com.uber.cadence.workflow.Workflow;
import com.uber.cadence.workflow.WorkflowMethod;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Runs one workflow whose activity is done by whoever reads the request topic, and prints what it gets. */
public final class Main {

    public static final class Order {
        public long amount;
        public String currency = "EUR";
    }

    public static final class Charge {
        public String charge_id;
        public long amount;
    }

    public interface OrderWorkflow {
        @WorkflowMethod(executionStartToCloseTimeoutSeconds = 3600)
        Charge run(Order order);
    }

    public interface Charging {
        @ActivityMethod
        Charge charge(Order order);
    }

    public static final class OrderWorkflowImpl implements OrderWorkflow {
        private final Charging charging = Workflow.newActivityStub(Charging.class, new ActivityOptions.Builder()
                // One that `handback dispatch` polls; without a name the workflow's own, where Publisher is at work.
                .setTaskList(System.getProperty("dispatched"))
                .setScheduleToStartTimeout(Duration.ofMinutes(1))
                // As long as an answer may take.
                .setStartToCloseTimeout(Duration.ofMinutes(30))
                .build());

        @Override
        public Charge run(Order order) {
            return charging.charge(order);
        }
    }

    public static void main(String[] arguments) {
        String[] frontend = System.getProperty("cadence", "localhost:7833").split(":");
        String taskList = System.getProperty("taskList", "java-worker");
        var service = new WorkflowServiceGrpc(ClientOptions.newBuilder()
                .setHost(frontend[0]).setPort(Integer.parseInt(frontend[1])).build());
        var client = WorkflowClient.newInstance(service, WorkflowClientOptions.newBuilder()
                .setDomain(System.getProperty("domain", "orders")).build());
        var producer = new KafkaProducer<>(Map.<String, Object>of(
                "bootstrap.servers", System.getProperty("kafka", "localhost:9092"), "acks", "all"),
                new StringSerializer(), new StringSerializer());

        var factory = WorkerFactory.newInstance(client);
        var worker = factory.newWorker(taskList);
        worker.registerWorkflowImplementationTypes(OrderWorkflowImpl.class);
        worker.registerActivitiesImplementations(new Publisher(producer,
                System.getProperty("requests", "activity-requests"), System.getProperty("replies", "activity-replies")));
        factory.start();

        var order = new Order();
        order.amount = Long.getLong("amount", 1250);
        var workflow = client.newWorkflowStub(OrderWorkflow.class, new WorkflowOptions.Builder()
                .setTaskList(taskList).setWorkflowId(System.getProperty("id", "order-" + System.currentTimeMillis())).build());
        try {
            Charge charge = workflow.run(order);
            System.out.println("charged: " + charge.charge_id + " for " + charge.amount);
        } catch (WorkflowException fault) {
            Throwable cause = fault;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            System.out.println("failed: " + cause);
        }
        System.exit(0);
    }
}
