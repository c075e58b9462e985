package istio

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"istio.io/istio/pkg/config/crd"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"
)

// Every file is what the API servers of Istio and Kubernetes take, down to the last field.
func TestManifests(t *testing.T) {
	files, err := filepath.Glob("../../deploy/istio/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files in deploy/istio", err)
	}
	istio := crd.NewIstioValidator(t)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			if strings.HasSuffix(file, "-env.yaml") {
				checkPatch(t, b)
				return
			}
			for _, document := range documents(t, string(b)) {
				checkDocument(t, istio, document)
			}
		})
	}
}

func checkDocument(t *testing.T, istio *crd.Validator, document string) {
	t.Helper()
	var u unstructured.Unstructured
	if err := yaml.UnmarshalStrict([]byte(document), &u); err != nil {
		t.Fatal(err)
	}
	if u.GetNamespace() == "" {
		t.Errorf("%s %s has no namespace", u.GetKind(), u.GetName())
	}
	if u.GroupVersionKind() == corev1.SchemeGroupVersion.WithKind("ConfigMap") {
		var c corev1.ConfigMap
		if err := yaml.UnmarshalStrict([]byte(document), &c); err != nil {
			t.Error(err)
		}
		checkPatch(t, []byte(c.Data["deployment"]))
		return
	}
	if u.GroupVersionKind() == networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy") {
		if err := yaml.UnmarshalStrict([]byte(document), &networkingv1.NetworkPolicy{}); err != nil {
			t.Error(err)
		}
		return
	}
	if err := istio.ValidateCustomResource(&u); err != nil {
		t.Error(err)
	}
}

// checkPatch lets Kubernetes merge a patch into the Deployment of a proxy: the image and other variables stay, the key comes.
func checkPatch(t *testing.T, patch []byte) {
	t.Helper()
	if err := yaml.UnmarshalStrict(patch, &appsv1.Deployment{}); err != nil {
		t.Fatal(err)
	}
	b, err := yaml.YAMLToJSON(patch)
	if err != nil {
		t.Fatal(err)
	}
	const deployment = `{"spec": {"template": {"spec": {"containers": [
		{"name": "istio-proxy", "image": "auto", "env": [{"name": "OTHER", "value": "1"}]}, {"name": "app", "image": "app"}]}}}}`
	merged, err := strategicpatch.StrategicMergePatch([]byte(deployment), b, appsv1.Deployment{})
	if err != nil {
		t.Fatal(err)
	}
	var d appsv1.Deployment
	if err := json.NewDecoder(bytes.NewReader(merged)).Decode(&d); err != nil {
		t.Fatal(err)
	}
	from := map[string]string{}
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, e := range c.Env {
			from[c.Name+" "+e.Name] = e.Value
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				from[c.Name+" "+e.Name] = e.ValueFrom.SecretKeyRef.Name + "/" + e.ValueFrom.SecretKeyRef.Key
			}
		}
	}
	want := map[string]string{"istio-proxy OTHER": "1", "istio-proxy CURFEW_KEY_2026_11": "curfew/CURFEW_KEY_2026_11"}
	if len(from) != len(want) || from["istio-proxy OTHER"] != "1" || from["istio-proxy CURFEW_KEY_2026_11"] != want["istio-proxy CURFEW_KEY_2026_11"] {
		t.Errorf("the environment is %v, want %v", from, want)
	}
}
