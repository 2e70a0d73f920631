package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// patience is how long reading a topic to its end may take.
const patience = 25 * time.Second

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

// read returns all records of a topic, from its beginning to where it ends now.
func read(ctx context.Context, brokers, topic string) ([]record, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	left, err := ends(ctx, client, topic)
	if err != nil {
		return nil, err
	}
	found := []record{}
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("%d partitions of %s are not read to their end: %w", len(left), topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			out := record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
			for _, h := range r.Headers {
				out.Headers = append(out.Headers, header{Name: []byte(h.Key), Value: h.Value})
			}
			found = append(found, out)
			if end, ok := left[r.Partition]; ok && r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
	}
	return found, nil
}

// ends returns where each partition that holds something ends.
func ends(ctx context.Context, client *kgo.Client, topic string) (map[int32]int64, error) {
	metadata, named := kmsg.NewPtrMetadataRequest(), kmsg.NewMetadataRequestTopic()
	named.Topic = kmsg.StringPtr(topic)
	metadata.Topics = append(metadata.Topics, named)
	seen, err := metadata.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	offsets, asked := kmsg.NewPtrListOffsetsRequest(), kmsg.NewListOffsetsRequestTopic()
	asked.Topic = topic
	for _, partition := range seen.Topics[0].Partitions {
		end := kmsg.NewListOffsetsRequestTopicPartition()
		end.Partition, end.Timestamp = partition.Partition, -1
		asked.Partitions = append(asked.Partitions, end)
	}
	offsets.Topics = append(offsets.Topics, asked)
	told, err := offsets.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	found := map[int32]int64{}
	for _, partition := range told.Topics[0].Partitions {
		if partition.ErrorCode != 0 {
			return nil, fmt.Errorf("the end of %s/%d: Kafka's error %d", topic, partition.Partition, partition.ErrorCode)
		}
		if partition.Offset > 0 {
			found[partition.Partition] = partition.Offset
		}
	}
	return found, nil
}
