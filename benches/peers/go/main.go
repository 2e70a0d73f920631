// The Go peer: franz-go and grpc-go. It reads replies, completes each activity with one call, and lets the client
// commit the contiguous prefix of each partition. It keeps no books.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	method   = "/uber.cadence.api.v1.WorkerAPI/RespondActivityTaskCompleted"
	identity = "peers/go"
	deadline = 10 * time.Second
)

type envelope struct {
	TaskToken []byte          `json:"task_token"` // encoding/json reads base64 into bytes
	Result    json.RawMessage `json:"result"`
}

// request is RespondActivityTaskCompletedRequest in protobuf: a token, a payload with its bytes, an identity. By hand,
// because the generated code for Go brings YARPC, and would be no faster.
func (e *envelope) request() []byte {
	inner := protowire.SizeTag(1) + protowire.SizeBytes(len(e.Result))
	b := make([]byte, 0, len(e.TaskToken)+inner+len(identity)+16)
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendBytes(b, e.TaskToken)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(inner))
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendBytes(b, e.Result)
	b = protowire.AppendTag(b, 3, protowire.BytesType)
	return protowire.AppendString(b, identity)
}

// encoded hands over what is protobuf already; the answer is empty.
type encoded struct{}

func (encoded) Name() string { return "proto" }

func (encoded) Marshal(message any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(message.([]byte))}, nil
}

func (encoded) Unmarshal(mem.BufferSlice, any) error { return nil }

type caller struct {
	connections []*grpc.ClientConn
}

func (c *caller) complete(worker int, record *kgo.Record) {
	var reply envelope
	if err := json.Unmarshal(record.Value, &reply); err != nil {
		log.Fatalf("%s/%d/%d: %v", record.Topic, record.Partition, record.Offset, err)
	}
	ctx, cancel := context.WithTimeout(withMetadata, deadline)
	defer cancel()
	connection := c.connections[worker%len(c.connections)]
	if err := connection.Invoke(ctx, method, reply.request(), nil); err != nil {
		log.Fatalf("%s/%d/%d: %v", record.Topic, record.Partition, record.Offset, err)
	}
}

var withMetadata = metadata.AppendToOutgoingContext(context.Background(),
	"rpc-caller", "peers", "rpc-service", "cadence-frontend", "rpc-encoding", "proto")

// prefix knows how far the records of a partition are done without a gap. Records are delivered in order, and offsets
// may have holes (transactions leave them), so it keeps records, not numbers.
type prefix struct {
	mu    sync.Mutex
	queue []*entry
}

type entry struct {
	record *kgo.Record
	done   bool
}

func (p *prefix) begin(record *kgo.Record) *entry {
	e := &entry{record: record}
	p.mu.Lock()
	p.queue = append(p.queue, e)
	p.mu.Unlock()
	return e
}

// finish marks for commit what has become contiguous, under the lock, so that marks never go back.
func (p *prefix) finish(e *entry, client *kgo.Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.done = true
	var last *kgo.Record
	for len(p.queue) > 0 && p.queue[0].done {
		last, p.queue = p.queue[0].record, p.queue[1:]
	}
	if last != nil {
		client.MarkCommitRecords(last)
	}
}

type work struct {
	entry  *entry
	prefix *prefix
}

func main() {
	window := number("PEER_WINDOW")
	calls := &caller{}
	for range number("PEER_CONNECTIONS") {
		connection, err := grpc.NewClient("passthrough:///"+os.Getenv("PEER_ENGINE"),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(encoded{})),
			grpc.WithInitialWindowSize(1<<20), grpc.WithInitialConnWindowSize(16<<20))
		check(err)
		calls.connections = append(calls.connections, connection)
	}
	var assigned partitions
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("PEER_BROKERS"), ",")...),
		kgo.ConsumerGroup(os.Getenv("PEER_GROUP")),
		kgo.ConsumeTopics(os.Getenv("PEER_TOPIC")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(time.Second),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, lost map[string][]int32) {
			assigned.forget(lost)
			_ = client.CommitMarkedOffsets(ctx)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { assigned.forget(lost) }),
	)
	check(err)
	// One batch more than is in work, so that a worker never waits for the poll loop.
	queue := make(chan work, window)
	for worker := range window {
		go func() {
			for w := range queue {
				calls.complete(worker, w.entry.record)
				w.prefix.finish(w.entry, client)
			}
		}()
	}
	for {
		fetches := client.PollRecords(context.Background(), 4*window)
		fetches.EachError(func(topic string, partition int32, err error) { log.Fatalf("%s/%d: %v", topic, partition, err) })
		fetches.EachPartition(func(fetched kgo.FetchTopicPartition) {
			p := assigned.of(fetched.Topic, fetched.Partition)
			for _, record := range fetched.Records {
				queue <- work{p.begin(record), p}
			}
		})
		client.AllowRebalance()
	}
}

func number(name string) int {
	n, err := strconv.Atoi(os.Getenv(name))
	check(err)
	return n
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
