package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"go.uber.org/cadence/.gen/go/shared"
	"go.uber.org/cadence/client"
)

// driver is how the tests steer Cadence: start, signal, terminate, result, query, history.
func driver(e *engine, taskList, brokers string) http.Handler {
	mux := http.NewServeMux()
	records(mux, brokers)
	mux.HandleFunc("POST /start", answer(func(ctx context.Context, r *http.Request) (any, error) {
		var in struct {
			Workflow, ID string
			Input        json.RawMessage
			Seconds      int
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, err
		}
		return start(ctx, e.client, taskList, in.Workflow, in.ID, in.Input, in.Seconds)
	}))
	mux.HandleFunc("POST /signal", answer(func(ctx context.Context, r *http.Request) (any, error) {
		return nil, e.client.SignalWorkflow(ctx, r.FormValue("id"), "", r.FormValue("name"), nil)
	}))
	mux.HandleFunc("POST /terminate", answer(func(ctx context.Context, r *http.Request) (any, error) {
		return nil, e.client.TerminateWorkflow(ctx, r.FormValue("id"), "", "live test", nil)
	}))
	mux.HandleFunc("GET /result", answer(func(ctx context.Context, r *http.Request) (any, error) {
		var v json.RawMessage
		err := e.client.GetWorkflow(ctx, r.FormValue("id"), "").Get(ctx, &v)
		return v, err
	}))
	mux.HandleFunc("GET /report", answer(func(ctx context.Context, r *http.Request) (any, error) {
		v, err := e.client.QueryWorkflow(ctx, r.FormValue("id"), "", "report")
		if err != nil {
			return nil, err
		}
		var report Report
		err = v.Get(&report)
		return report, err
	}))
	mux.HandleFunc("GET /history", answer(func(ctx context.Context, r *http.Request) (any, error) {
		return history(ctx, e.client, r.FormValue("id"))
	}))
	// Answered by the frontend alone.
	mux.HandleFunc("GET /domain", answer(func(ctx context.Context, _ *http.Request) (any, error) {
		return e.service.DescribeDomain(ctx, &shared.DescribeDomainRequest{Name: &e.domain})
	}))
	mux.HandleFunc("GET /describe", answer(func(ctx context.Context, r *http.Request) (any, error) {
		return e.client.DescribeWorkflowExecution(ctx, r.FormValue("id"), "")
	}))
	return mux
}

// answer turns an error into status 500 with its text; every call is bounded.
func answer(do func(context.Context, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Minute)
		defer cancel()
		v, err := do(ctx, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("content-type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
}

func start(ctx context.Context, c client.Client, taskList, name, id string, input json.RawMessage, seconds int) (any, error) {
	if seconds == 0 {
		seconds = 300
	}
	o := client.StartWorkflowOptions{
		ID: id, TaskList: taskList,
		ExecutionStartToCloseTimeout:    time.Duration(seconds) * time.Second,
		DecisionTaskStartToCloseTimeout: 10 * time.Second,
	}
	// A domain just registered is not in every cache yet: the server answers "internal" for about a second.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		run, err := c.StartWorkflow(ctx, o, name, input)
		if err == nil {
			return map[string]string{"run_id": run.RunID}, nil
		}
		var started *shared.WorkflowExecutionAlreadyStartedError
		if errors.As(err, &started) || time.Now().After(deadline) || ctx.Err() != nil {
			return nil, err
		}
	}
}

func history(ctx context.Context, c client.Client, id string) ([]*shared.HistoryEvent, error) {
	events := []*shared.HistoryEvent{}
	for i := c.GetWorkflowHistory(ctx, id, "", false, shared.HistoryEventFilterTypeAllEvent); i.HasNext(); {
		e, err := i.Next()
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}
