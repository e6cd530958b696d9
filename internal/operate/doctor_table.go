package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/table/layout"
)

func (e *examination) checkTable(context.Context) Check {
	t, err := e.table()
	if HasCode(err, "ResourceNotFoundException") {
		return problem(fmt.Sprintf("table %q does not exist in region %q", e.Stack.Table, e.AWS.Region),
			e.fixes.createTable(e.Stack.Table))
	}
	if err != nil {
		return unknown(fmt.Sprintf("table %q cannot be described", e.Stack.Table), err)
	}
	return judgeTable(t, e.fixes)
}

// judgeTable judges a table's keys and status. A table's keys can never be changed.
func judgeTable(t *dynamodbtypes.TableDescription, fixes commands) Check {
	name, keys := aws.ToString(t.TableName), tableKeys(t)
	want := []string{layout.AttrNamespace + " (HASH, S)", layout.AttrKey + " (RANGE, S)"}
	if strings.Join(keys, ", ") != strings.Join(want, ", ") {
		return problem(
			fmt.Sprintf("table %q has the keys %q, and a flag table has %q: make another table", name, keys, want),
			fixes.createTable(name+"-flags"),
		)
	}
	switch t.TableStatus {
	case dynamodbtypes.TableStatusActive, dynamodbtypes.TableStatusUpdating: // a table that is updated can be used
		return checkOK(fmt.Sprintf("table %q is %s", name, t.TableStatus), fmt.Sprintf("with the keys %q", keys))
	case dynamodbtypes.TableStatusCreating:
		return Check{State: CheckUnknown, Found: fmt.Sprintf("table %q is %s: examine it again in a minute", name,
			t.TableStatus)}
	}
	return problem(fmt.Sprintf("table %q is %s and cannot be used", name, t.TableStatus),
		fixes.aws("dynamodb describe-table", "--table-name", name))
}

// tableKeys are a table's keys with their types, such as "namespace (HASH, S)".
func tableKeys(t *dynamodbtypes.TableDescription) []string {
	types := map[string]string{}
	for _, a := range t.AttributeDefinitions {
		types[aws.ToString(a.AttributeName)] = string(a.AttributeType)
	}
	var keys []string
	for _, k := range t.KeySchema {
		keys = append(keys, fmt.Sprintf("%s (%s, %s)", aws.ToString(k.AttributeName), k.KeyType,
			types[aws.ToString(k.AttributeName)]))
	}
	return keys
}

func (e *examination) checkStream(context.Context) Check {
	t, err := e.table()
	if err != nil {
		return unknown(fmt.Sprintf("table %q cannot be described", e.Stack.Table), err)
	}
	return judgeStream(t, e.fixes)
}

// judgeStream judges whether a table's stream is on. Every view type works. Only NEW_AND_OLD_IMAGES proves that the
// version of an existing item rose, and a stream with another one may have other readers, so it is not to be replaced.
func judgeStream(t *dynamodbtypes.TableDescription, fixes commands) Check {
	name, specification := aws.ToString(t.TableName), t.StreamSpecification
	if specification == nil || !aws.ToBool(specification.StreamEnabled) {
		return problem(fmt.Sprintf("the stream of table %q is off: no change is published", name), fixes.setStream(name,
			streamOn))
	}
	found := fmt.Sprintf("stream %q is on, with %s", aws.ToString(t.LatestStreamArn), specification.StreamViewType)
	if specification.StreamViewType != dynamodbtypes.StreamViewTypeNewAndOldImages {
		return checkOK(found + ": changes of existing items carry no versions, and no consumer needs them")
	}
	return checkOK(found)
}

func (e *examination) checkStreamMapping(ctx context.Context) Check {
	t, err := e.table()
	if err != nil {
		return unknown(fmt.Sprintf("table %q cannot be described", e.Stack.Table), err)
	}
	failures, err := e.failures()
	if err != nil {
		return unknown(fmt.Sprintf("queue %q cannot be described", e.Stack.StreamFailureQueueURL), err)
	}
	if t.StreamSpecification == nil || !aws.ToBool(t.StreamSpecification.StreamEnabled) {
		return Check{State: CheckSkipped, Found: "the table's stream is off: turn it on, and examine it again"}
	}
	return e.checkMapping(ctx, streamMapping(e.Stack, aws.ToString(t.LatestStreamArn), failures[attributeARN]))
}

func (e *examination) checkRequestMapping(ctx context.Context) Check {
	queue, err := e.requests()
	if err != nil {
		return unknown(fmt.Sprintf("queue %q cannot be described", e.Stack.RequestQueueURL), err)
	}
	return e.checkMapping(ctx, queueMapping(e.Stack.Resources["FlagsyncFunction"], queue[attributeARN], requestBatch))
}

func (e *examination) checkFailureMapping(ctx context.Context) Check {
	queue, err := e.failures()
	if err != nil {
		return unknown(fmt.Sprintf("queue %q cannot be described", e.Stack.StreamFailureQueueURL), err)
	}
	return e.checkMapping(
		ctx,
		queueMapping(e.Stack.Resources["StreamFailureFunction"], queue[attributeARN], failureBatch),
	)
}

// checkMapping finds the mapping among those of its function.
func (e *examination) checkMapping(ctx context.Context, want mapping) Check {
	if want.function == "" {
		return unknown("the mapping cannot be found", errors.New("the stack has no such function"))
	}
	found, err := e.mappings(ctx, want.function)
	if err != nil {
		return unknown(fmt.Sprintf("the mappings of function %q cannot be listed", want.function), err)
	}
	return judgeMapping(want, found, e.Stack, e.fixes)
}
