// Where the alias leads after a failover. Its entities come from the pairing, and roles do not: they are given on the namespace.
param name string
param location string
param tier string
param principals object
param scaler string

@description('Whether it stands by. Azure then refuses whatever is written to it, but not roles on it and endpoints of it.')
param isPaired bool

var dataOwner = '090c5cfd-751d-490a-894a-3ce6f1109419'
var roles = [
  '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39' // Azure Service Bus Data Sender
  '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0' // Azure Service Bus Data Receiver
]

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' = if (!isPaired) {
  name: name
  location: location
  sku: {
    name: tier
    tier: tier
    capacity: 1
  }
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: 'Disabled'
    zoneRedundant: true
  }
}

module access 'servicebusAccess.bicep' = [for role in roles: {
  name: 'servicebus-second-${role}'
  params: {
    namespace: bus.name
    role: role
    principals: {
      ingress: principals.ingress
      identity: principals.identity
      router: principals.router
      dispatcher: principals.dispatcher
    }
  }
}]

module owning 'servicebusAccess.bicep' = {
  name: 'servicebus-second-${dataOwner}'
  params: {
    namespace: bus.name
    role: dataOwner
    principals: {
      provision: principals.provision
      keda: scaler
    }
  }
}
