package kubelet

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// variable is one of a container's environment.
type variable struct {
	name, value string
	foreign     bool // its value comes from elsewhere, and names no path
}

// environment is what the pod gives a container, in its order.
func (w *worker) environment(c *corev1.Container) ([]variable, error) {
	variables := []variable{
		{name: "KUBERNETES_SERVICE_HOST", value: w.kubelet.host},
		{name: "KUBERNETES_SERVICE_PORT", value: w.kubelet.port},
		{name: "KUBERNETES_SERVICE_PORT_HTTPS", value: w.kubelet.port},
	}
	values := map[string]string{}
	for _, v := range variables {
		values[v.name] = v.value
	}
	for _, source := range c.EnvFrom {
		more, err := w.variablesFrom(source)
		if err != nil {
			return nil, err
		}
		for _, v := range more {
			values[v.name] = v.value
		}
		variables = append(variables, more...)
	}
	for _, e := range c.Env {
		v := variable{name: e.Name, value: expand(e.Value, values)}
		if e.ValueFrom != nil {
			value, ok, err := w.valueFrom(c, e.ValueFrom)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
			v.value, v.foreign = value, true
		}
		values[v.name] = v.value
		variables = append(variables, v)
	}
	return variables, nil
}

func (w *worker) variablesFrom(source corev1.EnvFromSource) ([]variable, error) {
	var data map[string][]byte
	var err error
	switch {
	case source.SecretRef != nil:
		data, err = w.secret(source.SecretRef.Name, ptr.Deref(source.SecretRef.Optional, false))
	case source.ConfigMapRef != nil:
		data, err = w.configMap(source.ConfigMapRef.Name, ptr.Deref(source.ConfigMapRef.Optional, false))
	}
	if err != nil {
		return nil, err
	}
	var variables []variable
	for key, value := range data {
		variables = append(variables, variable{name: source.Prefix + key, value: string(value), foreign: true})
	}
	return variables, nil
}

// valueFrom returns a value, or that there is none and there needn't be one.
func (w *worker) valueFrom(c *corev1.Container, source *corev1.EnvVarSource) (value string, ok bool, err error) {
	switch {
	case source.FieldRef != nil:
		value, err := w.field(source.FieldRef)
		return value, err == nil, err
	case source.ResourceFieldRef != nil && source.ResourceFieldRef.Resource == "limits.memory" && c.Resources.Limits.Memory().Value() > 0:
		return strconv.FormatInt(c.Resources.Limits.Memory().Value(), 10), true, nil
	case source.SecretKeyRef != nil:
		ref, optional := source.SecretKeyRef, ptr.Deref(source.SecretKeyRef.Optional, false)
		data, err := w.secret(ref.Name, optional)
		return w.valueOf(data, "Secret", ref.Name, ref.Key, optional, err)
	case source.ConfigMapKeyRef != nil:
		ref, optional := source.ConfigMapKeyRef, ptr.Deref(source.ConfigMapKeyRef.Optional, false)
		data, err := w.configMap(ref.Name, optional)
		return w.valueOf(data, "ConfigMap", ref.Name, ref.Key, optional, err)
	default:
		return "", false, fmt.Errorf("unsupported valueFrom: only fieldRef, secretKeyRef, configMapKeyRef, and a memory limit that is set by resourceFieldRef, are played")
	}
}

func (w *worker) valueOf(data map[string][]byte, kind, name, key string, optional bool, err error) (string, bool, error) {
	if err != nil {
		return "", false, err
	}
	value, ok := data[key]
	if !ok && !optional {
		return "", false, fmt.Errorf("couldn't find key %s in %s %s/%s", key, kind, w.pod.Namespace, name)
	}
	return string(value), ok, nil
}

// expand replaces references such as $(NAME) to variables that are known; $$ is a dollar.
func expand(text string, values map[string]string) string {
	var result strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		result.WriteString(before)
		if !found {
			return result.String()
		}
		name, rest, closed := strings.Cut(strings.TrimPrefix(after, "("), ")")
		value, known := values[name]
		switch {
		case strings.HasPrefix(after, "$"):
			result.WriteByte('$')
			text = after[1:]
		case strings.HasPrefix(after, "(") && closed && known:
			result.WriteString(value)
			text = rest
		default:
			result.WriteByte('$')
			text = after
		}
	}
}
