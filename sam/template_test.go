package sam_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// template is the decoded template.yaml. A function such as !Ref is a map with its long name, {"Ref": ...}.
type template struct {
	Metadata   map[string]any       `yaml:"Metadata"`
	Mappings   map[string]any       `yaml:"Mappings"`
	Globals    map[string]any       `yaml:"Globals"`
	Outputs    map[string]any       `yaml:"Outputs"`
	Parameters map[string]parameter `yaml:"Parameters"`
	Resources  map[string]resource  `yaml:"Resources"`
}

type parameter struct {
	Type          string `yaml:"Type"`
	Default       any    `yaml:"Default"`
	AllowedValues []any  `yaml:"AllowedValues"`
	Description   string `yaml:"Description"`
}

type resource struct {
	Type           string         `yaml:"Type"`
	DeletionPolicy string         `yaml:"DeletionPolicy"`
	Properties     map[string]any `yaml:"Properties"`
}

func readTemplate(t *testing.T) template {
	t.Helper()
	data, err := os.ReadFile("../template.yaml")
	require.NoError(t, err)
	var document yaml.Node
	require.NoError(t, yaml.Unmarshal(data, &document))
	lengthen(&document)
	var all template
	require.NoError(t, document.Decode(&all))
	return all
}

// lengthen replaces CloudFormation's short tags by the long form: !Ref x becomes {Ref: x}, !Sub x becomes {Fn::Sub: x}.
func lengthen(n *yaml.Node) {
	for _, child := range n.Content {
		lengthen(child)
	}
	if n.Kind == yaml.AliasNode || !strings.HasPrefix(n.Tag, "!") || strings.HasPrefix(n.Tag, "!!") {
		return
	}
	name := strings.TrimPrefix(n.Tag, "!")
	if name != "Ref" && name != "Condition" {
		name = "Fn::" + name
	}
	value := *n
	value.Tag, value.Anchor = "", ""
	*n = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Anchor: n.Anchor, Content: []*yaml.Node{
		{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}, &value,
	}}
}

// at returns a value in nested maps and lists, or nil: at(properties, "Target", "Input").
func at(value any, path ...any) any {
	for _, step := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[fmt.Sprint(step)]
		case []any:
			i, ok := step.(int)
			if !ok || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// These properties have no effect in MiniStack, so make e2e cannot test them.
func TestPropertiesThatMiniStackCannotTest(t *testing.T) {
	all := readTemplate(t)
	t.Run("records are retried for 23 of the 24 hours that the stream keeps them, then reported", func(t *testing.T) {
		source := at(all.Resources["StreamhandlerFunction"].Properties, "Events", "Stream", "Properties")
		for name, want := range map[string]any{
			"StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": -1, "MaximumRecordAgeInSeconds": 23 * 60 * 60,
			"BisectBatchOnFunctionError": true, "FunctionResponseTypes": []any{"ReportBatchItemFailures"},
			"MaximumBatchingWindowInSeconds": nil,
		} {
			assert.Equal(t, want, at(source, name), name)
		}
		queue := map[string]any{"Fn::GetAtt": "StreamFailureQueue.Arn"}
		assert.Equal(t, queue, at(source, "DestinationConfig", "OnFailure", "Destination"))
		reports := at(all.Resources["StreamFailureFunction"].Properties, "Events", "Reports")
		assert.Equal(t, queue, at(reports, "Properties", "Queue"))
	})
	t.Run("streamhandler gets both images", func(t *testing.T) { // its filter is tested in streamhandler
		table := all.Resources["FlagTable"].Properties
		assert.Equal(t, "NEW_AND_OLD_IMAGES", at(table, "StreamSpecification", "StreamViewType"))
	})
	t.Run("HTTPS subscribers get a signature that they accept", func(t *testing.T) {
		assert.Equal(t, "2", all.Resources["ChangeTopic"].Properties["SignatureVersion"])
	})
	t.Run("readers may use the customer's key", func(t *testing.T) {
		readers := fmt.Sprint(at(all.Resources["ReaderPolicy"].Properties, "PolicyDocument", "Statement"))
		assert.Contains(t, readers, "kms:Decrypt")
		assert.Contains(t, readers, "KmsKeyArn")
	})
	t.Run("a failed first deployment deletes its table, and the deletion of a stack keeps it", func(t *testing.T) {
		assert.Equal(t, "RetainExceptOnCreate", all.Resources["FlagTable"].DeletionPolicy)
		protection := all.Parameters["TableDeletionProtection"].Default
		assert.Equal(t, "false", protection, "with true, DynamoDB would refuse to delete the table")
	})
	t.Run("every resource that stores data uses the customer's key", func(t *testing.T) {
		property := map[string]string{
			"AWS::DynamoDB::Table": "SSESpecification", "AWS::SNS::Topic": "KmsMasterKeyId",
			"AWS::SQS::Queue": "KmsMasterKeyId", "AWS::Logs::LogGroup": "KmsKeyId",
		}
		for name, r := range all.Resources {
			if property[r.Type] != "" {
				assert.Contains(t, fmt.Sprint(at(r.Properties, property[r.Type])), "KmsKeyArn", name)
			}
		}
	})
	t.Run("CloudWatch may publish only this account's alarms", func(t *testing.T) {
		statement := at(all.Resources["AlarmTopicPolicy"].Properties, "PolicyDocument", "Statement", 0)
		assert.Equal(t, map[string]any{"Service": "cloudwatch.amazonaws.com"}, at(statement, "Principal"))
		account := at(statement, "Condition", "StringEquals", "aws:SourceAccount")
		assert.Equal(t, map[string]any{"Ref": "AWS::AccountId"}, account)
		key := fmt.Sprint(all.Resources["AlarmTopic"].Properties["KmsMasterKeyId"])
		assert.Contains(t, key, "AWS::NoValue", "with alias/aws/sns, CloudWatch could not publish")
	})
	t.Run("CloudFormation names no queue as clients name theirs", func(t *testing.T) {
		statement := at(all.Resources["SubscriberPolicy"].Properties, "PolicyDocument", "Statement", 0)
		queues := at(statement, "Resource", "Fn::Sub").(string)
		assert.Equal(t, "warmflags_*", queues[strings.LastIndex(queues, ":")+1:],
			"CloudFormation uses letters, digits and hyphens")
		for name, r := range all.Resources {
			assert.NotContains(t, r.Properties, "QueueName", name)
		}
	})
}

// CloudFormation validates a dashboard's body only during a deployment.
func TestTheDashboardIsJSON(t *testing.T) {
	body := at(readTemplate(t).Resources["PipelineDashboard"].Properties, "DashboardBody", "Fn::Sub")
	outer, sync := at(body, 0).(string), at(body, 1, "Into", "Fn::If", 1, "Fn::Sub").(string)
	require.Empty(t, at(body, 1, "Into", "Fn::If", 2))
	for into, widgets := range map[string]int{sync: 8, "": 4} {
		text := os.Expand(outer, func(name string) string {
			if name == "Into" {
				return os.Expand(into, func(string) string { return "x" })
			}
			return "x"
		})
		var dashboard struct {
			Widgets []struct {
				X, Width   int
				Properties struct {
					Title   string
					Metrics []any
				}
			}
		}
		require.NoError(t, json.Unmarshal([]byte(text), &dashboard), text)
		assert.Len(t, dashboard.Widgets, widgets)
		for _, w := range dashboard.Widgets {
			assert.LessOrEqual(t, w.X+w.Width, 24, "a dashboard's width")
			assert.NotEmpty(t, w.Properties.Title)
			assert.NotEmpty(t, w.Properties.Metrics)
		}
	}
}
