// Command go-worker runs a workflow whose activity is done by whoever reads the request topic, and shows what it gets.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	apiv1 "github.com/uber/cadence-idl/go/proto/api/v1"
	"go.uber.org/cadence/.gen/go/cadence/workflowserviceclient"
	"go.uber.org/cadence/activity"
	"go.uber.org/cadence/client"
	"go.uber.org/cadence/compatibility"
	"go.uber.org/cadence/worker"
	"go.uber.org/cadence/workflow"
	"go.uber.org/yarpc"
	"go.uber.org/yarpc/transport/grpc"
)

var (
	frontend = flag.String("cadence", "localhost:7833", "address of the Cadence frontend (gRPC)")
	domain   = flag.String("domain", "orders", "domain, which has to exist")
	taskList = flag.String("task-list", "go-worker", "task list")
	brokers  = flag.String("kafka", "localhost:9092", "brokers")
	requests = flag.String("requests", "activity-requests", "request topic")
	replies  = flag.String("replies", "activity-replies", "where services answer")
	amount   = flag.Int64("amount", 1250, "start one workflow with this amount")
	id       = flag.String("id", fmt.Sprintf("order-%d", time.Now().Unix()), "its id")
)

// Order is what the activity is called with.
type Order struct {
	Amount int64 `json:"amount"`
}

// OrderWorkflow asks for an approval and returns the decision.
func OrderWorkflow(ctx workflow.Context, order Order) (json.RawMessage, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		ScheduleToStartTimeout: time.Minute,
		// As long as an answer may take.
		StartToCloseTimeout: 24 * time.Hour,
		// The service must say that it is alive.
		HeartbeatTimeout: time.Minute,
	})
	var decision json.RawMessage
	err := workflow.ExecuteActivity(ctx, "Approve", order).Get(ctx, &decision)
	return decision, err
}

func main() {
	flag.Parse()
	producer, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(*brokers, ",")...))
	must(err)
	defer producer.Close()
	service, stop := connect()
	defer stop()

	w, err := worker.NewV2(service, *domain, *taskList, worker.Options{})
	must(err)
	w.RegisterWorkflow(OrderWorkflow)
	publisher := &Publisher{Domain: *domain, Topic: *requests, Replies: *replies, Producer: producer}
	w.RegisterActivityWithOptions(publisher.Ask, activity.RegisterOptions{Name: "Approve"})
	must(w.Start())
	defer w.Stop()

	run, err := client.NewClient(service, *domain, nil).ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{
		ID: *id, TaskList: *taskList, ExecutionStartToCloseTimeout: 48 * time.Hour,
	}, OrderWorkflow, Order{Amount: *amount})
	must(err)
	fmt.Printf("%s has started\n", *id)
	var decision json.RawMessage
	if err := run.Get(context.Background(), &decision); err != nil {
		fmt.Printf("%s failed: %v\n", *id, err)
		return
	}
	fmt.Printf("%s: %s\n", *id, decision)
}

func connect() (workflowserviceclient.Interface, func()) {
	const cadence = "cadence-frontend"
	dispatcher := yarpc.NewDispatcher(yarpc.Config{
		Name:      "go-worker",
		Outbounds: yarpc.Outbounds{cadence: {Unary: grpc.NewTransport().NewSingleOutbound(*frontend)}},
	})
	must(dispatcher.Start())
	out := dispatcher.ClientConfig(cadence)
	return compatibility.NewThrift2ProtoAdapter(
		apiv1.NewDomainAPIYARPCClient(out), apiv1.NewWorkflowAPIYARPCClient(out),
		apiv1.NewWorkerAPIYARPCClient(out), apiv1.NewVisibilityAPIYARPCClient(out)), func() { _ = dispatcher.Stop() }
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
