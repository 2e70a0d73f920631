// Command worker is the Cadence side of the live tests: a worker with the official client whose only activity asks a
// service over Kafka and returns "result pending", and a small HTTP driver through which the tests start workflows and
// read what the workflow code saw.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/cadence/worker"
	"go.uber.org/zap"
)

type options struct {
	cadence  string
	domain   string
	taskList string
	kafka    string
	listen   string
}

func main() {
	var o options
	flag.StringVar(&o.cadence, "cadence", "127.0.0.1:7833", "gRPC address of the Cadence frontend")
	flag.StringVar(&o.domain, "domain", "live", "domain to work in; registered when absent")
	flag.StringVar(&o.taskList, "task-list", "live", "task list of workflows and activities")
	flag.StringVar(&o.kafka, "kafka", "127.0.0.1:9092", "bootstrap servers that requests are published to, separated by commas")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:7800", "address of the driver")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log, err := zap.NewProduction(zap.IncreaseLevel(zap.WarnLevel))
	if err != nil {
		return err
	}

	engine, err := connect(ctx, o)
	if err != nil {
		return err
	}
	defer engine.close()

	producer, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(o.kafka, ",")...), kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		return err
	}
	defer producer.Close()

	w, err := worker.NewV2(engine.service, o.domain, o.taskList, worker.Options{
		Logger:                                  log,
		DisableStickyExecution:                  true,
		MaxConcurrentDecisionTaskPollers:        16,
		MaxConcurrentActivityTaskPollers:        16,
		MaxConcurrentActivityExecutionSize:      200,
		MaxConcurrentDecisionTaskExecutionSize:  50,
		WorkerActivitiesPerSecond:               1000,
		MaxConcurrentLocalActivityExecutionSize: 1,
	})
	if err != nil {
		return err
	}
	register(w, &publisher{domain: o.domain, producer: producer})
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()

	server := &http.Server{Addr: o.listen, Handler: driver(engine, o.taskList, o.kafka), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	if err := server.Close(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
