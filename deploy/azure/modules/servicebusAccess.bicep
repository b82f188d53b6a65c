// One role on a whole namespace for every part.
param namespace string
param role string
param principals object

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespace
}

resource assignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for part in items(principals): {
  name: guid(bus.id, part.value, role)
  scope: bus
  properties: {
    principalId: part.value
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
  }
}]
