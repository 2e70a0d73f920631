package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"go.uber.org/cadence"
	"go.uber.org/cadence/activity"
	"go.uber.org/cadence/worker"
	"go.uber.org/cadence/workflow"
)

const (
	askActivity  = "Ask"
	cancelSignal = "cancel"
	finishSignal = "finish"
)

func register(w worker.Worker, p *publisher) {
	w.RegisterActivityWithOptions(p.Ask, activity.RegisterOptions{Name: askActivity})
	w.RegisterWorkflowWithOptions(Single, workflow.RegisterOptions{Name: "Single"})
	w.RegisterWorkflowWithOptions(Fan, workflow.RegisterOptions{Name: "Fan"})
}

// Case is one activity, how it may run, and what the workflow expects back.
type Case struct {
	Script            Script `json:"script"`
	Want              string `json:"want"`
	ActivityID        string `json:"activity_id"`
	StartToClose      int    `json:"start_to_close"`
	Heartbeat         int    `json:"heartbeat"`
	MaxAttempts       int32  `json:"max_attempts"`
	RetryInterval     int    `json:"retry_interval"`
	NonRetriable      string `json:"non_retriable"`
	CancelOnSignal    bool   `json:"cancel_on_signal"`
	LingerUntilSignal bool   `json:"linger_until_signal"`
	// Another task list and type than this program's own, and arguments after the script: for what others serve.
	TaskList     string            `json:"task_list"`
	ActivityType string            `json:"activity_type"`
	More         []json.RawMessage `json:"more"`
}

func (c Case) options() workflow.ActivityOptions {
	if c.StartToClose == 0 {
		c.StartToClose = 120
	}
	o := workflow.ActivityOptions{
		ActivityID:             c.ActivityID,
		TaskList:               c.TaskList,
		ScheduleToStartTimeout: time.Minute,
		StartToCloseTimeout:    time.Duration(c.StartToClose) * time.Second,
		HeartbeatTimeout:       time.Duration(c.Heartbeat) * time.Second,
		WaitForCancellation:    true,
	}
	if c.MaxAttempts > 0 {
		o.RetryPolicy = &cadence.RetryPolicy{
			InitialInterval: time.Duration(max(c.RetryInterval, 1)) * time.Second, BackoffCoefficient: 1,
			MaximumAttempts: c.MaxAttempts,
		}
		if c.NonRetriable != "" {
			o.RetryPolicy.NonRetriableErrorReasons = []string{c.NonRetriable}
		}
	}
	return o
}

func (c Case) activity() string {
	if c.ActivityType == "" {
		return askActivity
	}
	return c.ActivityType
}

func (c Case) arguments() []any {
	arguments := []any{c.Script}
	for _, more := range c.More {
		arguments = append(arguments, more)
	}
	return arguments
}

// Single runs one activity and returns what this code saw of its end.
func Single(ctx workflow.Context, c Case) (Report, error) {
	asking, cancel := workflow.WithCancel(workflow.WithActivityOptions(ctx, c.options()))
	defer cancel()
	answer := workflow.ExecuteActivity(asking, c.activity(), c.arguments()...)
	if c.CancelOnSignal {
		workflow.GetSignalChannel(ctx, cancelSignal).Receive(ctx, nil)
		cancel()
	}
	report := see(ctx, answer, c.Want)
	if c.LingerUntilSignal {
		// The report is readable while the workflow is still open.
		if err := workflow.SetQueryHandler(ctx, "report", func() (Report, error) { return report, nil }); err != nil {
			return report, err
		}
		workflow.GetSignalChannel(ctx, finishSignal).Receive(ctx, nil)
	}
	return report, nil
}

// FanCase asks for the squares of From, From+1, ... From+Count-1, all at once.
type FanCase struct {
	Script Script `json:"script"`
	From   int    `json:"from"`
	Count  int    `json:"count"`
	// Again is how many activities there are for each that is answered twice, and for each that is contradicted; 0 for none.
	Again int `json:"again"`
}

// steps is what the service does for one number.
func (c FanCase) steps(n int) ([]byte, error) {
	answer := func(square int) any {
		return map[string]any{"reply": map[string]any{"result": Square{n, square}}}
	}
	steps := []any{answer(n * n)}
	if c.Again > 0 && n%c.Again == 0 {
		steps = append(steps, answer(n*n))
	}
	if c.Again > 0 && n%c.Again == 1 {
		steps = append(steps, answer(-1))
	}
	return json.Marshal([]any{steps})
}

// Square is what the service answers in [Fan].
type Square struct {
	Number int `json:"number"`
	Square int `json:"square"`
}

// Fan fails unless every activity got its own right answer.
func Fan(ctx workflow.Context, c FanCase) (int, error) {
	ctx = workflow.WithActivityOptions(ctx, Case{StartToClose: 240}.options())
	answers := make([]workflow.Future, c.Count)
	for i := range answers {
		script := c.Script
		n := c.From + i
		steps, err := c.steps(n)
		if err != nil {
			return 0, err
		}
		script.Attempts = steps
		each := workflow.WithActivityOptions(ctx, Case{StartToClose: 240, ActivityID: "square-" + strconv.Itoa(n)}.options())
		answers[i] = workflow.ExecuteActivity(each, askActivity, script)
	}
	for i, answer := range answers {
		n := c.From + i
		var got Square
		if err := answer.Get(ctx, &got); err != nil {
			return 0, fmt.Errorf("square of %d: %w", n, err)
		}
		if want := (Square{n, n * n}); got != want {
			return 0, fmt.Errorf("square of %d: got %+v, want %+v", n, got, want)
		}
	}
	return len(answers), nil
}
