package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/cadence/activity"
)

// Publisher is an activity that others do: it publishes what they need, with the task token, and leaves itself open.
type Publisher struct {
	Domain, Topic, Replies string
	Producer               *kgo.Client
}

// Ask returns no result of its own, but has to declare one: of an activity without any the workflow is handed none.
func (p *Publisher) Ask(ctx context.Context, order Order) (json.RawMessage, error) {
	info := activity.GetInfo(ctx)
	run := info.WorkflowExecution
	request, err := json.Marshal(map[string]any{
		"task_token": base64.StdEncoding.EncodeToString(info.TaskToken),
		"activity": map[string]any{
			"domain": p.Domain, "workflow_id": run.ID, "run_id": run.RunID, "activity_id": info.ActivityID, "attempt": info.Attempt,
			"activity_type": info.ActivityType.Name, "workflow_type": info.WorkflowType.Name,
		},
		"input": []any{order},
		// The same for every attempt: the service's key for what it must not do twice.
		"request_key":               escaped(p.Domain, run.ID, run.RunID, info.ActivityID),
		"reply_to":                  p.Replies,
		"scheduled_at":              info.ScheduledTimestamp.UTC(),
		"deadline":                  info.Deadline.UTC(),
		"heartbeat_timeout_seconds": int(info.HeartbeatTimeout / time.Second),
	})
	if err != nil {
		return nil, err
	}
	// Left pending only once the request is safe: an error here fails the attempt, and the retry policy decides.
	err = p.Producer.ProduceSync(ctx, &kgo.Record{
		Topic: p.Topic,
		Key:   []byte(p.Domain + "/" + run.ID),
		Value: request,
		// For services that answer by echoing headers, as Spring's do.
		Headers: []kgo.RecordHeader{
			{Key: "kafka_correlationId", Value: info.TaskToken},
			{Key: "kafka_replyTopic", Value: []byte(p.Replies)},
		},
	}).FirstErr()
	if err != nil {
		return nil, err
	}
	return nil, activity.ErrResultPending
}

func escaped(parts ...string) string {
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}
