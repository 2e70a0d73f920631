package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/cadence/activity"
)

// Script tells the service what to answer. It travels as the activity's input; only the topics matter on this side.
// With an input of its own the request carries that instead, for services that know of no script.
type Script struct {
	Requests string          `json:"requests"`
	ReplyTo  string          `json:"reply_to"`
	Attempts json.RawMessage `json:"attempts,omitempty"`
	OnCancel json.RawMessage `json:"on_cancel,omitempty"`
	Input    json.RawMessage `json:"input,omitempty"`
}

// input is what the request says the activity was called with.
func (s Script) input() (json.RawMessage, error) {
	if len(s.Input) > 0 {
		return s.Input, nil
	}
	return json.Marshal(s)
}

// request is the record value on the request topic (docs/wire-contract.md, section 2).
type request struct {
	TaskToken               string            `json:"task_token"`
	Activity                requestedOf       `json:"activity"`
	Input                   []json.RawMessage `json:"input"`
	RequestKey              string            `json:"request_key"`
	ReplyTo                 string            `json:"reply_to"`
	ScheduledAt             time.Time         `json:"scheduled_at"`
	Deadline                time.Time         `json:"deadline"`
	HeartbeatTimeoutSeconds int               `json:"heartbeat_timeout_seconds,omitempty"`
}

type requestedOf struct {
	Domain       string `json:"domain"`
	WorkflowID   string `json:"workflow_id"`
	RunID        string `json:"run_id"`
	ActivityID   string `json:"activity_id"`
	Attempt      int32  `json:"attempt"`
	ActivityType string `json:"activity_type"`
	WorkflowType string `json:"workflow_type"`
}

type publisher struct {
	domain   string
	producer *kgo.Client
}

// Ask publishes a request and leaves the activity open: the answer comes back over Kafka. It never returns a result of
// its own, but must declare one: of an activity that declares none the client hands no result to the workflow.
func (p *publisher) Ask(ctx context.Context, script Script) (any, error) {
	info := activity.GetInfo(ctx)
	run := info.WorkflowExecution
	key := url.PathEscape(p.domain) + "/" + url.PathEscape(run.ID) + "/" + url.PathEscape(run.RunID) + "/" + url.PathEscape(info.ActivityID)
	input, err := script.input()
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(request{
		TaskToken: base64.StdEncoding.EncodeToString(info.TaskToken),
		Activity: requestedOf{
			Domain: p.domain, WorkflowID: run.ID, RunID: run.RunID, ActivityID: info.ActivityID, Attempt: info.Attempt,
			ActivityType: info.ActivityType.Name, WorkflowType: info.WorkflowType.Name,
		},
		Input:                   []json.RawMessage{input},
		RequestKey:              key,
		ReplyTo:                 script.ReplyTo,
		ScheduledAt:             info.ScheduledTimestamp.UTC(),
		Deadline:                info.Deadline.UTC(),
		HeartbeatTimeoutSeconds: int(info.HeartbeatTimeout / time.Second),
	})
	if err != nil {
		return nil, err
	}
	record := &kgo.Record{
		Topic: script.Requests,
		Key:   []byte(p.domain + "/" + run.ID),
		Value: value,
		Headers: []kgo.RecordHeader{
			{Key: "kafka_correlationId", Value: info.TaskToken},
			{Key: "kafka_replyTopic", Value: []byte(script.ReplyTo)},
		},
	}
	if err := p.producer.ProduceSync(ctx, record).FirstErr(); err != nil {
		return nil, fmt.Errorf("publish request: %w", err)
	}
	return nil, activity.ErrResultPending
}
