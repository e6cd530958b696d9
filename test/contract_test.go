package test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/contract"
	"github.com/warmflags/warmflags/test/emulator"
)

// differences are the cases in which an emulator does not do as AWS does (and as internal/local/aws does), with what it
// does. Each is run all the same, and has to fail: an emulator that has learned it leaves the table.
var differences = map[string]string{
	"SQS/a long poll is 20 seconds at most":           "MiniStack polls longer",
	"SQS/a standard queue takes no de-duplication id": "MiniStack takes it",
	"SQS/deleting again is no error":                  "MiniStack does not know the receipt handle of a deleted message any more",
	"SNS/PublishBatch counts bytes":                   "MiniStack does not, and has another error for an empty batch",
	"SNS/empty attributes are refused":                "MiniStack takes them",
	"SNS/empty messages are refused":                  "MiniStack takes them",
}

// The same cases as internal/local/aws has to pass, on DynamoDB Local and MiniStack.
func TestContract(t *testing.T) {
	account := contract.Account{DynamoDB: emulator.DynamoDB(), Streams: emulator.Streams(), SNS: emulator.SNS(), SQS: emulator.SQS()}
	known := map[string]bool{}
	for _, c := range contract.Cases() {
		why, different := differences[c.Name]
		known[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel() // most of them wait
			if !different {
				c.Run(t, account)
				return
			}
			complaints := try(t, c, account)
			require.NotEmpty(t, complaints, "the emulator does as AWS does now: take the case out of the table")
			t.Log("not as AWS does:", why)
		})
	}
	for name := range differences {
		require.True(t, known[name], "there is no case %q", name)
	}
}

// try runs a case that is expected to fail, and returns its complaints.
func try(t *testing.T, c contract.Case, account contract.Account) (complaints []string) {
	p := &probe{ctx: t.Context()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(p, account)
	}()
	<-done
	return p.complaints
}

// probe is a contract.T that notes failures. One goroutine uses it at a time.
type probe struct {
	ctx        context.Context
	complaints []string
}

func (p *probe) Helper()                  {}
func (p *probe) FailNow()                 { runtime.Goexit() }
func (p *probe) Context() context.Context { return p.ctx }
func (p *probe) Errorf(f string, args ...any) {
	p.complaints = append(p.complaints, fmt.Sprintf(f, args...))
}
