// Command cadence-server runs Cadence (frontend, history and matching) in one process over SQLite files, on loopback.
// For tests: no authentication, no replication, no archival, and the files are not synced to disk.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/uber/cadence/common"
	"github.com/uber/cadence/common/service"
)

type options struct {
	dir   string
	port  int
	level string
	// Where the other services reach history's gRPC, 0 for where it listens. A test may stand in between there.
	historyAt int
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "folder of the database files (made if absent)")
	flag.IntVar(&o.port, "port", 7833, "frontend gRPC port; history is +1, matching +2; TChannel ports are 100 higher")
	flag.IntVar(&o.historyAt, "history-at", 0, "tell the other services that history's gRPC is at this port (for a proxy in between)")
	flag.StringVar(&o.level, "log", "warn", "log level")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "cadence-server:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if o.dir == "" {
		return errors.New("give -dir FOLDER")
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	began := time.Now()
	cfg, err := buildConfig(o)
	if err != nil {
		return err
	}
	if err := prepareSchema(cfg); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	fmt.Printf("schema ready after %v\n", time.Since(began).Round(time.Millisecond))

	dyn, err := dynamicValues()
	if err != nil {
		return err
	}
	log, err := newZap(o.level)
	if err != nil {
		return err
	}
	var running []common.Daemon
	for _, name := range []string{service.Matching, service.History, service.Frontend} {
		d, err := newDaemon(name, o.historyAt, cfg, dyn, log)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		running = append(running, d)
		go d.Start()
	}
	fmt.Printf("services starting; gRPC frontend on 127.0.0.1:%d (after %v)\n", o.port, time.Since(began).Round(time.Millisecond))

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	for i := len(running) - 1; i >= 0; i-- {
		running[i].Stop()
	}
	return nil
}

func newZap(level string) (*zap.Logger, error) {
	lv, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, err
	}
	zc := zap.NewProductionConfig()
	zc.Level = zap.NewAtomicLevelAt(lv)
	zc.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	return zc.Build()
}
