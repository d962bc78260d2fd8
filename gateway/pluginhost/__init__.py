"""Loads the plugins that gateway.yaml selects and calls them in its order, each under its own ``on_error``."""

from gateway.pluginhost.host import PluginHost, Subscriber
from gateway.pluginhost.loading import GROUP, PluginChoice, load
from gateway.pluginhost.plugin import PluginError

__all__ = ["GROUP", "PluginChoice", "PluginError", "PluginHost", "Subscriber", "load"]
