package example;

import java.nio.charset.StandardCharsets;

import org.apache.kafka.common.TopicPartition;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.DeadLetterPublishingRecoverer;
import org.springframework.kafka.listener.DefaultErrorHandler;
import org.springframework.kafka.support.converter.StringJacksonJsonMessageConverter;
import org.springframework.kafka.support.converter.RecordMessageConverter;
import org.springframework.util.backoff.FixedBackOff;

/** Spring's own error handling, pointed at the reply topic: an exception becomes the activity's failure. */
@Configuration
class Failures {

    @Bean
    DefaultErrorHandler errors(KafkaTemplate<?, ?> template) {
        var toReplies = new DeadLetterPublishingRecoverer(template, (request, fault) -> {
            var topic = request.headers().lastHeader("kafka_replyTopic").value();
            // -1: any partition. The default, the request's own number, need not exist on the reply topic.
            return new TopicPartition(new String(topic, StandardCharsets.UTF_8), -1);
        });
        // No second try here: whether and when to try again is the activity's retry policy.
        return new DefaultErrorHandler(toReplies, new FixedBackOff(0, 0));
    }

    /** JSON both ways. Without it a returned String goes out as OK, and JSON is "OK". */
    @Bean
    RecordMessageConverter json() {
        return new StringJacksonJsonMessageConverter();
    }
}
