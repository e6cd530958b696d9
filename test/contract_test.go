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

// differences are the cases in which an emulator behaves differently from AWS (and from internal/local/aws), with its
// behavior. Each case is run and must fail, so that the table has no case that the emulator passes by now.
var differences = map[string]string{
	"SQS/a long poll is 20 seconds at most":           "MiniStack polls longer",
	"SQS/a standard queue takes no de-duplication id": "MiniStack takes it",
	"SQS/deleting again is no error":                  "MiniStack forgets the receipt handle of a deleted message",
	"SNS/PublishBatch counts bytes":                   "MiniStack does not, and has another error for an empty batch",
	"SNS/empty attributes are refused":                "MiniStack takes them",
	"SNS/empty messages are refused":                  "MiniStack takes them",
}

// The cases that internal/local/aws must pass, on DynamoDB Local and MiniStack.
func TestContract(t *testing.T) {
	account := contract.Account{
		DynamoDB: emulator.DynamoDB(),
		Streams:  emulator.Streams(),
		SNS:      emulator.SNS(),
		SQS:      emulator.SQS(),
	}
	known := map[string]bool{}
	for _, c := range contract.Cases() {
		why, different := differences[c.Name]
		known[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel() // most cases wait most of the time
			if !different {
				c.Run(t, account)
				return
			}
			complaints := try(t, c, account)
			require.NotEmpty(t, complaints, "the emulator behaves like AWS now: remove the case from the table")
			t.Log("not as AWS does:", why)
		})
	}
	for name := range differences {
		require.True(t, known[name], "there is no case %q", name)
	}
}

// try runs a case that is expected to fail and returns its failure messages.
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

// probe is a contract.T that records failures. It is not safe for concurrent use.
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
