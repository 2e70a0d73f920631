package main

import (
	"errors"

	"go.uber.org/cadence"
	"go.uber.org/cadence/workflow"
)

// Report is what workflow code saw of an activity's end, as typed Go code sees it.
type Report struct {
	// value, custom, generic, canceled, timeout or error.
	Kind string `json:"kind"`
	// The decoded result; for bytes base64 (encoding/json does that).
	Value any `json:"value,omitempty"`
	// Reason of a custom error; kind of timeout.
	Reason string `json:"reason,omitempty"`
	// Text of the error.
	Message string `json:"message,omitempty"`
	// Decoded details of a custom error or a cancellation, null when it has none.
	Details any `json:"details"`
}

// Charge stands for any result a workflow would declare.
type Charge struct {
	ChargeID string  `json:"charge_id"`
	Amount   int64   `json:"amount"`
	Ratio    float64 `json:"ratio"`
	Note     *string `json:"note"`
}

// see waits for the activity and decodes its end the way workflow code does: into the type it expects, and by errors.As.
func see(ctx workflow.Context, answer workflow.Future, want string) Report {
	value, err := decode(ctx, answer, want)
	if err == nil {
		return Report{Kind: "value", Value: value}
	}
	return failure(err)
}

func decode(ctx workflow.Context, answer workflow.Future, want string) (any, error) {
	switch want {
	case "struct":
		var v Charge
		err := answer.Get(ctx, &v)
		return v, err
	case "string":
		var v string
		err := answer.Get(ctx, &v)
		return v, err
	case "bytes":
		var v []byte
		err := answer.Get(ctx, &v)
		return v, err
	case "any":
		var v any
		err := answer.Get(ctx, &v)
		return v, err
	case "null":
		v := &Charge{ChargeID: "untouched"}
		err := answer.Get(ctx, &v)
		return map[string]any{"is_nil": v == nil}, err
	case "none":
		// An absent result decodes into nothing: a value that is there stays as it was.
		v := "untouched"
		if err := answer.Get(ctx, nil); err != nil {
			return nil, err
		}
		err := answer.Get(ctx, &v)
		return map[string]any{"text": v}, err
	default:
		return nil, answer.Get(ctx, nil)
	}
}

func failure(err error) Report {
	var (
		custom   *cadence.CustomError
		generic  *workflow.GenericError
		canceled *cadence.CanceledError
		timeout  *workflow.TimeoutError
	)
	switch {
	case errors.As(err, &custom):
		r := Report{Kind: "custom", Reason: custom.Reason(), Message: custom.Error()}
		if custom.HasDetails() {
			r.Details = details(custom.Details)
		}
		return r
	case errors.As(err, &generic):
		return Report{Kind: "generic", Message: generic.Error()}
	case errors.As(err, &canceled):
		r := Report{Kind: "canceled", Message: canceled.Error()}
		if canceled.HasDetails() {
			r.Details = details(canceled.Details)
		}
		return r
	case errors.As(err, &timeout):
		return Report{Kind: "timeout", Reason: timeout.TimeoutType().String(), Message: timeout.Error()}
	default:
		return Report{Kind: "error", Message: err.Error()}
	}
}

func details(decode func(...interface{}) error) any {
	var d any
	if err := decode(&d); err != nil {
		return "undecodable: " + err.Error()
	}
	return d
}
