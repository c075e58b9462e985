// Package envoygateway tests deploy/envoy-gateway against the API of Envoy Gateway.
package envoygateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/envoyproxy/gateway/api/v1alpha1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	decode "k8s.io/apimachinery/pkg/util/yaml"
	limits "k8s.io/apiserver/pkg/apis/cel"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

// kinds are what the file may hold, each with its Go type.
var kinds = map[string]func() any{
	"EnvoyProxy":           func() any { return &v1alpha1.EnvoyProxy{} },
	"Gateway":              func() any { return &gateway.Gateway{} },
	"ClientTrafficPolicy":  func() any { return &v1alpha1.ClientTrafficPolicy{} },
	"EnvoyExtensionPolicy": func() any { return &v1alpha1.EnvoyExtensionPolicy{} },
	"SecurityPolicy":       func() any { return &v1alpha1.SecurityPolicy{} },
}

// Every document is what an API server with Envoy Gateway's CRDs takes, down to the last field.
func TestManifests(t *testing.T) {
	schemas := definitions(t)
	b, err := os.ReadFile("../../deploy/envoy-gateway/gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, document := range strings.Split(string(b), "\n---\n") {
		var u unstructured.Unstructured
		if err := yaml.UnmarshalStrict([]byte(document), &u); err != nil {
			t.Fatal(err)
		}
		kind := u.GetKind()
		seen[kind] = true
		if kinds[kind] == nil || schemas[u.GroupVersionKind().String()] == nil {
			t.Errorf("%s is no kind of Envoy Gateway's", u.GroupVersionKind())
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(document), kinds[kind]()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		for _, err := range check(t, schemas[u.GroupVersionKind().String()], &u) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for kind := range kinds {
		if !seen[kind] {
			t.Errorf("the file has no %s", kind)
		}
	}
}

// check is what an API server does with an object: defaults, schema, rules in CEL.
func check(t *testing.T, schema *apiextensions.JSONSchemaProps, u *unstructured.Unstructured) (faults []error) {
	t.Helper()
	s, err := structural.NewStructural(schema)
	if err != nil {
		t.Fatal(err)
	}
	defaulting.Default(u.Object, s)
	v, _, err := validation.NewSchemaValidator(schema)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range validation.ValidateCustomResource(nil, u.Object, v) {
		faults = append(faults, err)
	}
	if rules := cel.NewValidator(s, true, limits.PerCallLimit); rules != nil {
		broken, _ := rules.Validate(context.Background(), nil, s, u.Object, nil, limits.RuntimeCELCostBudget)
		for _, err := range broken {
			faults = append(faults, err)
		}
	}
	return faults
}

// definitions reads the CRDs that Envoy Gateway installs, by group, version and kind.
func definitions(t *testing.T) map[string]*apiextensions.JSONSchemaProps {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/envoyproxy/gateway").Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	folder := filepath.Join(strings.TrimSpace(string(out)), "charts/gateway-helm/charts/crds/crds")
	files, _ := filepath.Glob(filepath.Join(folder, "generated/*.yaml"))
	schemas := map[string]*apiextensions.JSONSchemaProps{}
	for _, file := range append(files, filepath.Join(folder, "gatewayapi-crds.yaml")) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		documents := decode.NewYAMLOrJSONDecoder(bytes.NewReader(b), 4096)
		for {
			var crd apiextensionsv1.CustomResourceDefinition
			if err := documents.Decode(&crd); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(file, err)
			}
			for _, version := range crd.Spec.Versions {
				var schema apiextensions.JSONSchemaProps
				if crd.Kind != "CustomResourceDefinition" || version.Schema == nil {
					continue
				}
				if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, &schema, nil); err != nil {
					t.Fatal(file, err)
				}
				schemas[crd.Spec.Group+"/"+version.Name+", Kind="+crd.Spec.Names.Kind] = &schema
			}
		}
	}
	return schemas
}
