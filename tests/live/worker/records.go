package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// quiet is how long a topic is silent when all of it was read.
const quiet = 500 * time.Millisecond

// record has everything as bytes, base64 in JSON: a header's name need not be text, and the tests' own client insists that it is.
type record struct {
	Topic     string   `json:"topic"`
	Partition int32    `json:"partition"`
	Offset    int64    `json:"offset"`
	Timestamp int64    `json:"timestamp"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []header `json:"headers"`
}

type header struct {
	Name  []byte `json:"name"`
	Value []byte `json:"value"`
}

// records lets the tests write and read records whose header names are any bytes.
func records(mux *http.ServeMux, brokers string) {
	mux.HandleFunc("POST /produce", answer(func(ctx context.Context, r *http.Request) (any, error) {
		var in record
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, err
		}
		return produce(ctx, brokers, in)
	}))
	mux.HandleFunc("GET /records", answer(func(ctx context.Context, r *http.Request) (any, error) {
		return read(ctx, brokers, r.FormValue("topic"))
	}))
}

func produce(ctx context.Context, brokers string, in record) (any, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	out := &kgo.Record{Topic: in.Topic, Partition: in.Partition, Key: in.Key, Value: in.Value}
	for _, h := range in.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: string(h.Name), Value: h.Value})
	}
	written, err := client.ProduceSync(ctx, out).First()
	if err != nil {
		return nil, err
	}
	return map[string]int64{"partition": int64(written.Partition), "offset": written.Offset}, nil
}

// read returns all records of a topic, up to a silence.
func read(ctx context.Context, brokers, topic string) ([]record, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	found := []record{}
	for {
		fetches, err := poll(ctx, client)
		if err != nil || fetches.Empty() {
			return found, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			out := record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
			for _, h := range r.Headers {
				out.Headers = append(out.Headers, header{Name: []byte(h.Key), Value: h.Value})
			}
			found = append(found, out)
		})
	}
}

func poll(ctx context.Context, client *kgo.Client) (kgo.Fetches, error) {
	ctx, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	fetches := client.PollFetches(ctx)
	if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	return fetches, nil
}
