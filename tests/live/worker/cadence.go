package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	apiv1 "github.com/uber/cadence-idl/go/proto/api/v1"
	"go.uber.org/cadence/.gen/go/cadence/workflowserviceclient"
	"go.uber.org/cadence/.gen/go/shared"
	"go.uber.org/cadence/client"
	"go.uber.org/cadence/compatibility"
	"go.uber.org/yarpc"
	"go.uber.org/yarpc/transport/grpc"
)

// engine is a connection to Cadence in one domain.
type engine struct {
	service    workflowserviceclient.Interface
	client     client.Client
	domain     string
	dispatcher *yarpc.Dispatcher
}

func (e *engine) close() { _ = e.dispatcher.Stop() }

func connect(ctx context.Context, o options) (*engine, error) {
	const frontend = "cadence-frontend"
	dispatcher := yarpc.NewDispatcher(yarpc.Config{
		Name:      "live-worker",
		Outbounds: yarpc.Outbounds{frontend: {Unary: grpc.NewTransport().NewSingleOutbound(o.cadence)}},
	})
	if err := dispatcher.Start(); err != nil {
		return nil, err
	}
	out := dispatcher.ClientConfig(frontend)
	service := compatibility.NewThrift2ProtoAdapter(
		apiv1.NewDomainAPIYARPCClient(out), apiv1.NewWorkflowAPIYARPCClient(out),
		apiv1.NewWorkerAPIYARPCClient(out), apiv1.NewVisibilityAPIYARPCClient(out))
	e := &engine{service: service, client: client.NewClient(service, o.domain, &client.Options{}), domain: o.domain, dispatcher: dispatcher}
	if err := registerDomain(ctx, service, o.domain); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// registerDomain also waits for the server: its port is open seconds before history and matching have joined.
func registerDomain(ctx context.Context, service workflowserviceclient.Interface, name string) error {
	domains := client.NewDomainClient(service, &client.Options{})
	retention := int32(1)
	emptyText := ""
	deadline := time.Now().Add(60 * time.Second)
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := domains.Register(attempt, &shared.RegisterDomainRequest{
			Name: &name, Description: &emptyText, WorkflowExecutionRetentionPeriodInDays: &retention,
		})
		cancel()
		var exists *shared.DomainAlreadyExistsError
		switch {
		case err == nil, errors.As(err, &exists):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return fmt.Errorf("register domain %q: %w", name, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
