package operate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// What template.yaml sets; a test compares them.
const (
	streamBatch  = 1000
	streamMaxAge = 82800
	streamFilter = `{"dynamodb":{"Keys":{"namespace":{"S":["features","segments",{"suffix":":features"},{"suffix":":segments"}]}}}}`
	requestBatch = 1
	failureBatch = 10
)

// mapping is an event source mapping as the template makes it.
type mapping struct {
	function string // its name
	source   string // ARN of the stream or queue
	batch    int32
	stream   bool // what follows is for streams only
	maxAge   int32
	retries  int32
	filter   string
	failure  string // ARN of the queue for discarded records
}

func streamMapping(s Stack, source, failure string) mapping {
	return mapping{
		function: s.Resources["StreamhandlerFunction"], source: source, batch: streamBatch,
		stream: true, maxAge: streamMaxAge, retries: -1, filter: streamFilter, failure: failure,
	}
}

func queueMapping(function, source string, batch int32) mapping {
	return mapping{function: function, source: source, batch: batch}
}

// mappings are all mappings of a function.
func (e *examination) mappings(ctx context.Context, function string) ([]types.EventSourceMappingConfiguration, error) {
	var all []types.EventSourceMappingConfiguration
	pages := lambda.NewListEventSourceMappingsPaginator(e.lambda,
		&lambda.ListEventSourceMappingsInput{FunctionName: &function})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.EventSourceMappings...)
	}
	return all, nil
}

// judgeMapping looks for the wanted mapping among those of the function, and judges its state and settings. A table
// that was restored, or whose stream was off, has a new stream. The mapping on the old one is CloudFormation's, so that
// a deployment replaces it.
func judgeMapping(want mapping, found []types.EventSourceMappingConfiguration, s Stack, fixes commands) Check {
	i := slices.IndexFunc(found, func(m types.EventSourceMappingConfiguration) bool {
		return aws.ToString(m.EventSourceArn) == want.source
	})
	if i < 0 {
		fix := fixes.createMapping(want)
		text := fmt.Sprintf("function %q has no mapping on %q", want.function, want.source)
		for _, other := range found {
			text += fmt.Sprintf("; it has one on %q", aws.ToString(other.EventSourceArn))
		}
		if want.stream && len(found) > 0 {
			text += ": deploy the stack again, with the current stream"
			fix = fixes.deployStream(&s, want.source)
		}
		return problem(text, fix)
	}
	m := found[i]
	uuid, state := aws.ToString(m.UUID), aws.ToString(m.State)
	text := fmt.Sprintf("mapping %q of function %q on %q", uuid, want.function, want.source)
	switch state {
	case "Enabled":
	case "Disabled", "Disabling":
		return problem(text+" is "+strings.ToLower(state), fixes.enableMapping(uuid))
	default:
		return Check{State: CheckUnknown, Found: text + " is " + state + ": examine it again in a minute"}
	}
	if differs := want.differences(m); len(differs) > 0 {
		return problem(text+" has "+strings.Join(differs, ", "), fixes.updateMapping(uuid, want))
	}
	if result := aws.ToString(m.LastProcessingResult); strings.HasPrefix(result, "PROBLEM") {
		return problem(text+" failed last time: "+result, fixes.logs(s))
	}
	return checkOK(text + " is enabled")
}

// differences are the settings of a mapping that are not as wanted, in words.
func (m mapping) differences(found types.EventSourceMappingConfiguration) []string {
	var all []string
	differ := func(what string, got, want any) {
		if got != want {
			all = append(all, fmt.Sprintf("%s %v in place of %v", what, got, want))
		}
	}
	differ("batch size", aws.ToInt32(found.BatchSize), m.batch)
	differ("ReportBatchItemFailures", slices.Contains(found.FunctionResponseTypes,
		types.FunctionResponseTypeReportBatchItemFailures), true)
	filter := ""
	if f := found.FilterCriteria; f != nil {
		var patterns []string
		for _, p := range f.Filters {
			patterns = append(patterns, aws.ToString(p.Pattern))
		}
		filter = strings.Join(patterns, " or ")
	}
	differ("the filter", fmt.Sprintf("%q", filter), fmt.Sprintf("%q", m.filter))
	if !m.stream {
		return all
	}
	failure := ""
	if d := found.DestinationConfig; d != nil && d.OnFailure != nil {
		failure = aws.ToString(d.OnFailure.Destination)
	}
	differ("the failure destination", fmt.Sprintf("%q", failure), fmt.Sprintf("%q", m.failure))
	differ("the maximum record age", aws.ToInt32(found.MaximumRecordAgeInSeconds), m.maxAge)
	differ("the maximum retry attempts", aws.ToInt32(found.MaximumRetryAttempts), m.retries)
	differ("splitting of failed batches", aws.ToBool(found.BisectBatchOnFunctionError), true)
	return all
}
